"""The OpenAPI 3.1 document, generated from the routes, and the HTML page that shows it.

Paths, parameters and bodies come from Litestar, schemas from msgspec, responses from each route's
`documented(…)`, and the errors of authentication from the route's guard.
"""
