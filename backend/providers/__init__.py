"""Which engine runs a stage, and the place for engines that run elsewhere (hosted providers).

A hosted engine is a module here: a `renderers.base.Engine` over httpx, with its settings as
arguments. It knows nothing of shops, the database or storage; `pyproject.toml` holds it to that.
`backend.worker.run` makes the engines, and `ENGINES` chooses among them.
"""
