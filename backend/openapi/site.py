"""`/schema`: the HTML page and `/schema/openapi.json`. Public, and the same for everybody."""

from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import msgspec
from litestar import Request, Response, Router
from litestar.enums import MediaType
from litestar.exceptions import NotFoundException
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import OpenAPIRenderPlugin
from litestar.openapi.spec import License, Server, Tag

from backend.openapi.document import Document, completed_document, operation_id
from backend.openapi.page import POLICY, render_page

DESCRIPTION = """\
Shops ask for jobs; jobs make product imagery; whoever asked reads the result.

A request has exactly one credential, and the shop it acts for is the one that the credential \
proves. Whatever is not that shop's answers like whatever does not exist.

Every answer has X-Request-Id. Every answer that is not a success has the same envelope, \
{"error": {"code", "message", "request_id"}}, whose codes never change once released. An address \
that does not exist answers 404 NOT_FOUND, a method that it does not have 405 METHOD_NOT_ALLOWED \
with Allow; that goes for HEAD as well. OPTIONS answers 204 with Allow, behind the same door as \
the rest. There is no CORS: the embedded page is of the API's own origin, and a storefront asks \
its own, through Shopify's app proxy.

A 429 and a 503 say in Retry-After when to try again. A 500 is a bug: report its request id.
"""

TAG_DESCRIPTIONS = {
    "Jobs": "What has become of what was asked for.",
    "Workflows": "Ask for pictures. Each workflow has a route of its own.",
    "Batches": "One workflow for many products.",
    "Publications": "Put a job's pictures on a product in the shop, and take them back.",
    "Settings": "What a shop has done by itself when its products change.",
    "Privacy": "What a shop's customers want to know of themselves.",
    "Uploads": "Pictures to work on.",
    "Storefront": "For a shop's visitors, through Shopify's app proxy.",
    "Installation": "What the embedded page does first.",
    "Webhooks": "What Shopify tells us.",
    "Health": "For load balancers.",
}


class CachedDocumentPlugin(OpenAPIRenderPlugin):
    """Renders the document in one format, at the first request only."""

    def __init__(
        self, path: str, media_type: Any, render_document: Callable[[Document], bytes]
    ) -> None:
        super().__init__(path=path, media_type=media_type)
        self.render_document = render_document
        self.rendered: bytes | None = None

    def render(self, request: Request[Any, Any, Any], openapi_schema: Document) -> bytes:
        """The response body."""
        if self.rendered is None:
            self.rendered = self.render_document(completed_document(openapi_schema, request.app))
        return self.rendered


def openapi_config() -> OpenAPIConfig:
    """Litestar's configuration of the document and its routes."""
    return OpenAPIConfig(
        title="Atelier",
        version=version("atelier"),
        description=DESCRIPTION,
        license=License(name="Apache 2.0", identifier="Apache-2.0"),
        servers=[Server(url="/")],
        tags=[Tag(name=name, description=meaning) for name, meaning in TAG_DESCRIPTIONS.items()],
        operation_id_creator=operation_id,
        use_handler_docstrings=True,
        render_plugins=[
            CachedDocumentPlugin("/", MediaType.HTML, render_page),
            CachedDocumentPlugin("/openapi.json", MediaType.JSON, msgspec.json.encode),
        ],
        openapi_router=schema_router(),
    )


def schema_router() -> Router:
    """`/schema`, without a guard: it contains no shop's data."""
    return Router(
        "/schema",
        route_handlers=[],
        include_in_schema=False,
        response_headers={
            "Cache-Control": "public, max-age=300",
            "Content-Security-Policy": POLICY,
        },
        after_request=without_litestars_own_404,
    )


def without_litestars_own_404(response: Response[Any]) -> Response[Any]:
    """Replace Litestar's own page for unknown paths below `/schema` by our 404."""
    if response.status_code == NotFoundException.status_code:
        raise NotFoundException
    return response
