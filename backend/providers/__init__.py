"""Which engine runs a stage, and the providers that run stages elsewhere.

`provider` has what a provider is asked and answers; each adapter is a module here that speaks one
provider's HTTP with httpx, and knows nothing of shops, the database or storage: `pyproject.toml`
holds it to that. `hosted` makes the adapters from the settings, and `ENGINES` chooses among them
and the local engine (`engines`).
"""
