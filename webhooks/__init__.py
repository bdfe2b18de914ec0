"""Shopify → us: receive each delivery durably, acknowledge it, act on it in the worker."""
