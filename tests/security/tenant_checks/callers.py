"""Who asks, and what every check is: a request of SHOP that names the other shop."""

import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx

from backend.auth.signed_request import signed_request
from backend.dev import signing
from backend.jobs.service import JobRef
from tests.conftest import SECRET
from tests.running_app import OTHER_SHOP, SHOP, RunningApp

Route = tuple[str, str]
RouteCase = Callable[..., Awaitable[httpx.Response]]
Check = Callable[[RunningApp, list[JobRef], RouteCase], Awaitable[None]]
NAMES_OF_THE_OTHER = {"Host": OTHER_SHOP, "X-Shopify-Shop-Domain": OTHER_SHOP}
NOT_FOUND = (404, "JOB_NOT_FOUND")
PRODUCT = {"product_id": "gid://shopify/Product/1"}


async def by_token(
    shared_app: RunningApp, method: str, path: str, body: Any = None
) -> httpx.Response:
    """Request as the embedded page, with a session token."""
    joint = "&" if "?" in path else "?"
    headers = {**shared_app.bearer(SHOP), **NAMES_OF_THE_OTHER}
    url = f"{path}{joint}shop={OTHER_SHOP}"
    return await shared_app.http.request(method, url, json=body, headers=headers)


async def by_signature(
    shared_app: RunningApp, method: str, path: str, body: Any = None
) -> httpx.Response:
    """Request as our own server, with a signature."""
    content = b"" if body is None else json.dumps(body).encode()
    url, signature = signed_request(
        SECRET.encode(), method=method, url=path, shop=SHOP, body=content, now=int(time.time())
    )
    headers = {
        "X-Shopify-Hmac-Sha256": signature,
        "Content-Type": "application/json",
        **NAMES_OF_THE_OTHER,
    }
    return await shared_app.http.request(method, url, content=content, headers=headers)


async def by_app_proxy(
    shared_app: RunningApp, method: str, path: str, body: Any = None, *, shop: str = SHOP
) -> httpx.Response:
    """Request as a storefront visitor, through the app proxy."""
    query = signing.app_proxy_query(
        {"shop": shop, "timestamp": str(int(time.time())), "logged_in_customer_id": ""}, SECRET
    )
    url = f"{path}?{query}"
    return await shared_app.http.request(method, url, json=body, headers=NAMES_OF_THE_OTHER)


async def by_anybody(shared_app: RunningApp, method: str, path: str) -> httpx.Response:
    """Request without credentials."""
    return await shared_app.http.request(method, path, headers=NAMES_OF_THE_OTHER)


MERCHANT = (by_token, by_signature)
VISITOR = (by_app_proxy,)
ANYBODY = (by_anybody,)
