"""The requests, as the bytes that go over the wire; each server gets those that it understands."""

import time
import uuid
from collections.abc import Iterator
from itertools import count, cycle

import httpx

from backend.dev import signing
from tests.benchmarks.http.servers import Server

SINCE = 3
SHOP = "shop-0.myshopify.com"
WINDOW = 300  # seconds, of presigned URLs: a tag of ours does not outlive it
CREDENTIALS = "Authorization: Bearer {token}\r\n"


class Client:
    """Somebody in each shop's admin, and Shopify."""

    def __init__(self, jobs: list[tuple[str, str]], environment: dict[str, str]) -> None:
        self.jobs = jobs
        self.api_key = environment["SHOPIFY_API_KEY"]
        self.secret = environment["SHOPIFY_API_SECRET"]
        self.products = count(1)

    def requests(self, work: str, server: str, *, tag: str = "") -> Iterator[bytes]:
        """What to ask in turn, for ever."""
        if work == "webhook":
            return self.deliveries()
        tokens = {shop: self.token(shop) for shop in {shop for shop, _ in self.jobs}}
        if work == "review":
            return cycle([self.review(shop, server, token) for shop, token in tokens.items()])
        path = "/events" if work == "events" else ""
        query = f"?since={SINCE}" if work == "events" else "?"
        headers = f"If-None-Match: {tag}\r\n" if work == "detail_304" else ""
        return cycle(
            [
                get(
                    f"/v1/jobs/{job}{path}{query}" + (f"&shop={shop}" if server == "bare" else ""),
                    headers + CREDENTIALS.format(token=tokens[shop]),
                )
                for shop, job in self.jobs
            ]
        )

    def review(self, shop: str, server: str, token: str) -> bytes:
        """The first page of the shop's review."""
        query = f"?shop={shop}" if server == "bare" else ""
        return get(f"/v1/review{query}", CREDENTIALS.format(token=token))

    def token(self, shop: str) -> str:
        """The session token of a page that is open in that shop's admin."""
        return signing.session_token(shop, api_key=self.api_key, secret=self.secret)

    def deliveries(self) -> Iterator[bytes]:
        """Signed webhooks, each about another product."""
        for number in self.products:
            body = (
                b'{"id":%d,"admin_graphql_api_id":"gid://shopify/Product/%d",'
                b'"updated_at":"2026-11-25T12:00:00Z","media":[]}' % (number, number)
            )
            headers = {
                "Content-Type": "application/json",
                "X-Shopify-Topic": "products/update",
                "X-Shopify-Shop-Domain": SHOP,
                "X-Shopify-Webhook-Id": str(uuid.uuid4()),
                "X-Shopify-Hmac-Sha256": signing.webhook_signature(body, self.secret),
            }
            lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
            head = f"POST /webhooks HTTP/1.1\r\nHost: localhost\r\n{lines}"
            yield f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def get(target: str, headers: str) -> bytes:
    """A GET as it goes over the wire."""
    return f"GET {target.rstrip('?')} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n".encode()


def seconds_left() -> float:
    """How long a tag that is got now will hold."""
    return WINDOW - time.time() % WINDOW


async def current_tag(of: Server, client: Client) -> str:
    """The tag that every job's detail has now: they have all come equally far."""
    shop, job = client.jobs[0]
    headers = {"Authorization": f"Bearer {client.token(shop)}"}
    async with httpx.AsyncClient() as http:
        answer = await http.get(
            f"http://127.0.0.1:{of.port}/v1/jobs/{job}?shop={shop}", headers=headers
        )
    return str(answer.headers.get("etag", '"any"'))
