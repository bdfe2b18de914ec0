"""Rules: which workflows run automatically, for which products, when a shop's products change."""
