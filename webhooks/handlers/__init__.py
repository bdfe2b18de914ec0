"""Handlers of deliveries. They run in the worker, may run twice, and must be idempotent."""
