"""Webhooks that we send: endpoints of shops and of the operator, events, and their deliveries.

What Shopify sends us is in the package `webhooks`.
"""
