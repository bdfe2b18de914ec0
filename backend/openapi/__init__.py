"""The API's own description, OpenAPI 3.1, made from the routes; and the page that shows it.

Nothing of it is written down twice: paths, parameters and bodies are Litestar's reading of the
handlers, schemas are msgspec's of the Structs that decode and encode, answers are what each route
says with `answers(…)`, and what a door refuses comes with its guard.
"""
