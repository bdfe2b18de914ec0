"""The stand-in Shopify: its server, the merchant's side of it, and its switches for trouble.

For development and tests only. State is in memory and dies with the object.
"""

import asyncio
import contextlib
import socket
import time
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import httpx
import msgspec
import uvicorn

from backend.dev import signing
from backend.dev.shopify import payloads
from backend.dev.shopify.admin import API_VERSIONS
from backend.dev.shopify.catalogue import Product, picture_from
from backend.dev.shopify.http import cost, stand_in_app
from backend.dev.shopify.state import Answer, Call, Fault, Platform, Shop

WEBHOOK_TIMEOUT = 5.0  # seconds that Shopify waits for an answer
DEFAULT_SCOPES = frozenset({"write_products", "write_files"})


class StandInShopify:
    """Shopify on 127.0.0.1, inside the current event loop: `async with StandInShopify(…)`.

    Reach it with `backend.dev.transport.LoopbackShopify(shopify.origin)`. A shop is named by its
    domain everywhere; a shop that was not created raises KeyError. Two settings can be changed at
    any time: `platform.latency` and `platform.access_token_lifetime`, both in seconds.
    """

    def __init__(
        self,
        *,
        api_key: str,
        secret: str,
        app_url: str = "",
        app_transport: httpx.AsyncBaseTransport | None = None,
        access_token_lifetime: int = 3600,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`app_url` is where webhooks go, and may be set later; `app_transport` how they go there.

        `access_token_lifetime` is in seconds, and `clock` gives seconds since the epoch.
        """
        self.app_url = app_url
        self.platform = Platform(
            api_key=api_key,
            secret=secret,
            clock=clock,
            access_token_lifetime=access_token_lifetime,
        )
        self._app_transport = app_transport

    async def __aenter__(self) -> Self:
        # The socket listens from here on: a request that comes before the server is ready waits.
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._server = _Server(
            uvicorn.Config(
                stand_in_app(self.platform),
                lifespan="off",
                log_config=None,
                access_log=False,
                timeout_graceful_shutdown=1,
            )
        )
        self._serving = asyncio.create_task(self._server.serve([self._socket]))
        self._webhooks = httpx.AsyncClient(
            transport=self._app_transport, timeout=WEBHOOK_TIMEOUT, trust_env=False
        )
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._webhooks.aclose()
        self._server.should_exit = True
        await self._serving

    @property
    def origin(self) -> str:
        """Where the server listens, such as `http://127.0.0.1:8123`."""
        host, port = self._socket.getsockname()
        return f"http://{host}:{port}"

    # The merchant

    def create_shop(
        self, domain: str, *, scopes: Collection[str] = DEFAULT_SCOPES, installed: bool = True
    ) -> Shop:
        """Open a store, by default with the app installed and these scopes granted.

        A domain that exists is opened anew: another shop, without tokens or products.
        """
        platform = self.platform
        shop = Shop(
            domain=domain,
            number=next(platform.shop_numbers),
            scopes=frozenset(scopes),
            created_at=platform.now(),
            installed=installed,
        )
        platform.shops[domain] = shop
        return shop

    def id_token(self, shop: str, *, user_id: str = "1") -> str:
        """Return the session token a page of the app would get from App Bridge now."""
        platform = self.platform
        return signing.session_token(
            platform.shops[shop].domain,
            api_key=platform.api_key,
            secret=platform.secret,
            user_id=user_id,
            now=platform.clock(),
        )

    def uninstall(self, shop: str) -> None:
        """Remove the app: every token is dead at once. The webhook is the caller's to send."""
        self.platform.shops[shop].installed = False
        self.platform.shops[shop].grants.revoke_all()

    def reinstall(self, shop: str) -> None:
        """Install the app again; it has no token until the next exchange."""
        self.platform.shops[shop].installed = True

    def set_scopes(self, shop: str, scopes: Collection[str]) -> None:
        """Change what the merchant grants, with effect on the tokens that are out."""
        record = self.platform.shops[shop]
        record.previous_scopes, record.scopes = record.scopes, frozenset(scopes)

    def create_product(
        self,
        shop: str,
        title: str,
        image: Path | bytes | None,
        content_type: str = "image/jpeg",
        filename: str | None = None,
        *,
        size: tuple[int, int] = (1200, 1500),
    ) -> Product:
        """Create an active product. `size` is what Shopify reports of the image, in pixels."""
        platform = self.platform
        picture = None
        if image is not None:
            picture = picture_from(image, content_type=content_type, filename=filename, size=size)
        number = platform.shops[shop].number
        return platform.catalogue.add(shop, number, title, picture, platform.now())

    def replace_image(
        self,
        product: Product,
        image: Path | bytes,
        content_type: str = "image/jpeg",
        filename: str | None = None,
        *,
        size: tuple[int, int] = (1200, 1500),
    ) -> Product:
        """Exchange the product's picture: another media, another URL; the old one answers 404."""
        platform = self.platform
        picture = picture_from(image, content_type=content_type, filename=filename, size=size)
        return platform.catalogue.replace_picture(product, picture, platform.now())

    def delete_product(self, product: Product) -> None:
        """Delete the product and its files."""
        self.platform.catalogue.delete(product.id)

    # Webhooks

    async def send_webhook(
        self,
        shop: str,
        topic: str,
        payload: Mapping[str, object] | None = None,
        *,
        webhook_id: str | None = None,
        event_id: str | None = None,
        triggered_at: datetime | None = None,
        secret: str | None = None,
    ) -> httpx.Response:
        """Deliver once, as Shopify would, to `{app_url}/webhooks`, and return the app's answer.

        Without a payload the topic's usual one is sent; `payloads` has the variants. The products'
        topics then tell of the product this shop created last.
        """
        body = msgspec.json.encode(self.payload(shop, topic) if payload is None else payload)
        at = triggered_at or self.platform.now()
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "Shopify-Captain-Hook",
            "X-Shopify-Topic": topic,
            "X-Shopify-Hmac-Sha256": signing.webhook_signature(
                body, self.platform.secret if secret is None else secret
            ),
            "X-Shopify-Shop-Domain": shop,
            "X-Shopify-API-Version": API_VERSIONS[-1],
            "X-Shopify-Webhook-Id": webhook_id or str(uuid.uuid4()),
            "X-Shopify-Event-Id": event_id or str(uuid.uuid4()),
            "X-Shopify-Triggered-At": at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        }
        return await self._webhooks.post(f"{self.app_url}/webhooks", content=body, headers=headers)

    def payload(self, shop: str, topic: str) -> payloads.Payload:
        """Return what Shopify would send now. Raises KeyError for a topic it does not know."""
        platform = self.platform
        return payloads.sample(topic, platform.shops[shop], platform.catalogue, platform.now())

    # Trouble

    @property
    def calls(self) -> Counter[Call]:
        """How many requests of each kind came in, failed ones included."""
        return self.platform.calls

    def fail_next(
        self, call: Call, status: int, times: int = 1, *, retry_after: str = "2.0"
    ) -> None:
        """Answer the next requests of this kind with a bare status, without doing their work.

        A 429 says Retry-After: `retry_after`, in seconds and with a fraction, as Shopify does.
        """
        headers = {"Retry-After": retry_after} if status == 429 else {}
        fault = Fault(Answer(status, {"errors": "Stand-in failure"}, headers))
        self.platform.faults[call].extend([fault] * times)

    def lose_next_answer(self, call: Call, times: int = 1) -> None:
        """Do the work of the next requests of this kind, and answer them 502."""
        fault = Fault(Answer(502, {"errors": "Bad Gateway"}), processed=True)
        self.platform.faults[call].extend([fault] * times)

    def throttle_next(self, times: int = 1) -> None:
        """Answer the next GraphQL queries THROTTLED, with a tenth of a second to wait."""
        error = {"message": "Throttled", "extensions": {"code": "THROTTLED"}}
        body = {"errors": [error], "extensions": cost(12, None, available=2.0)}
        self.platform.faults["graphql"].extend([Fault(Answer(200, body))] * times)

    def revoke_access_tokens(self, shop: str) -> None:
        """Kill the shop's access tokens before their time; its refresh token lives."""
        self.platform.shops[shop].grants.revoke_access()


class _Server(uvicorn.Server):
    """A server that is a guest in somebody else's loop."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to the host: its Ctrl-C must not end at this server."""
        yield
