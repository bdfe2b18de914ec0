"""Webhooks from Shopify: store each delivery, acknowledge it, and process it in the worker."""
