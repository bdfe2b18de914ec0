"""An app of one document, for tests of the stand-in admin itself."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from litestar import Litestar, Request, Response, get
from litestar.params import FromPath

from backend.dev.shopify import StandInShopify
from backend.dev.shopify.embedded_server import EmbeddedServer
from tests.wait import wait_until

API_KEY = "0123456789abcdef0123456789abcdef"
SECRET = "the-secret-of-the-tiny-app"
HEAD = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Tiny</title>
<link rel="icon" href="data:,">
<meta name="shopify-api-key" content="{api_key}">{scripts}"""


@dataclass(kw_only=True)
class TinyApp:
    """Serves `body` at each path, after the head that an embedded app needs."""

    body: str = '<s-page heading="Tiny"></s-page>'
    scripts: tuple[str, ...] = ("app-bridge.js", "polaris-1.js")
    before_scripts: str = ""
    authorizations: list[str] = field(default_factory=list)
    """What `/answer` was asked with."""
    stale_answers: int = 0
    """How many of the next requests of `/answer` are told that their token is stale."""
    cdn: str = ""
    origin: str = ""
    """Its own."""

    def document(self) -> str:
        """The whole document."""
        scripts = "".join(
            f'<script src="{self.cdn}/shopifycloud/{name}"></script>' for name in self.scripts
        )
        head = HEAD.format(api_key=API_KEY, scripts=self.before_scripts + scripts)
        return head + self.body


@contextlib.asynccontextmanager
async def tiny_app() -> AsyncIterator[tuple[TinyApp, StandInShopify]]:
    """The app and the stand-in Shopify that it runs in, both started."""
    app = TinyApp()

    @get("/answer", sync_to_thread=False)
    def answer(request: Request[Any, Any, Any]) -> Response[dict[str, str]]:
        app.authorizations.append(request.headers.get("authorization", ""))
        if app.stale_answers:
            app.stale_answers -= 1
            retry = {"X-Shopify-Retry-Invalid-Session-Request": "1"}
            return Response({"answer": "stale"}, status_code=401, headers=retry)
        return Response({"answer": "yes"})

    @get(["/", "/{path:path}"], sync_to_thread=False)
    def document(path: FromPath[str] = "/") -> Response[str]:
        return Response(app.document(), media_type="text/html")

    server = EmbeddedServer(
        uvicorn.Config(
            Litestar([answer, document], openapi_config=None, logging_config=None),
            port=0,
            lifespan="off",
            log_config=None,
            timeout_graceful_shutdown=1,
        )
    )
    serving = asyncio.create_task(server.serve())
    await wait_until(lambda: server.started or serving.done(), poll=0.005)
    origin = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    async with StandInShopify(api_key=API_KEY, secret=SECRET, app_url=origin) as shopify:
        app.cdn, app.origin = shopify.origin, origin
        yield app, shopify
    server.leave()
    await serving
