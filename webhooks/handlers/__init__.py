"""What we do about a delivery. Handlers run in the worker, may run twice, and must not mind."""
