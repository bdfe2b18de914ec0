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
Create jobs that make product images for a shop, follow them, and read the results.

Send exactly one credential with each request. It determines the shop. Data of other shops \
answers like data that does not exist.

Every response has X-Request-Id. Every error has the body \
{"error": {"code", "message", "request_id"}}. A released code never changes. An unknown path \
answers 404 NOT_FOUND. A method that a path does not support answers 405 METHOD_NOT_ALLOWED with \
Allow. HEAD answers as GET does, without the body and without waiting; a signed request signs it \
as HEAD. OPTIONS answers 204 with Allow and needs the same credential. \
There is no CORS: the embedded page has the same origin as the API, and a storefront calls its own \
domain, through Shopify's app proxy.

Bodies refuse unknown fields, and lists refuse unknown query parameters. A query parameter, \
Content-Type and Idempotency-Key may be sent once.

429 and 503 say in Retry-After when to retry. A 500 is a bug: report its request ID.
"""

TAG_DESCRIPTIONS = {
    "Jobs": "Follow, list and cancel jobs.",
    "Workflows": "Create jobs. Each workflow has its own endpoint.",
    "Batches": "One workflow for many products.",
    "Publications": "Publish a job's images on a product, and remove them again.",
    "Review": "Finished images that wait for a decision: publish or dismiss.",
    "Catalog": "Generated models, backgrounds and garments that jobs use.",
    "Renders": "All finished images, and how they were made.",
    "Overview": "The home page's numbers, and its setup guide.",
    "Credits": "The balance, what jobs have cost, and where credits came from.",
    "Billing": "What a merchant can buy, and buys: plans and packs of credits.",
    "Settings": "Rules for jobs that start automatically when products change.",
    "Privacy": "Customers' requests for their data.",
    "Uploads": "Input images for jobs.",
    "Storefront": "For a shop's visitors, through Shopify's app proxy.",
    "Installation": "The first call of the embedded page.",
    "Webhook endpoints": "Where the shop's events are sent, signed by Standard Webhooks.",
    "Webhooks": "Notifications from Shopify.",
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
