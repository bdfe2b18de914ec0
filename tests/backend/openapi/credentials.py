"""Credentials of each kind of caller, for a client that signs the final bytes."""

import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit, urlunsplit

from backend.auth.signed_request import signed_request
from backend.dev import signing
from tests.conftest import SECRET
from tests.running_app import SHOP, RunningApp

Sign = Callable[[Any], Any]  # a requests.PreparedRequest, changed and given back


def session_token(running_app: RunningApp) -> Sign:
    """As the embedded page does it: a fresh token each time, for they live for a minute."""

    def sign(request: Any) -> Any:
        request.headers.update(running_app.bearer())
        return request

    return sign


def signature(_running_app: RunningApp) -> Sign:
    """As a server of ours does it: over method, path, query and body."""

    def sign(request: Any) -> Any:
        body = request.body or b""
        request.url, value = signed_request(
            SECRET.encode(),
            method=request.method,
            url=request.url,
            shop=SHOP,
            body=body.encode() if isinstance(body, str) else body,
            now=int(time.time()),
        )
        request.headers["X-Shopify-Hmac-Sha256"] = value
        return request

    return sign


def app_proxy(_running_app: RunningApp) -> Sign:
    """As Shopify's proxy does it: over the query, with what the visitor sent in it."""

    def sign(request: Any) -> Any:
        parts = urlsplit(request.url)
        sent = parse_qs(parts.query, keep_blank_values=True)
        own = {"shop": SHOP, "timestamp": str(int(time.time())), "logged_in_customer_id": ""}
        query = signing.app_proxy_query({**sent, **own}, SECRET)
        request.url = urlunsplit(parts._replace(query=query))
        return request

    return sign


def webhook(_running_app: RunningApp) -> Sign:
    """As Shopify does it: over the body."""

    def sign(request: Any) -> Any:
        body = request.body or b""
        body = body.encode() if isinstance(body, str) else body
        request.headers["X-Shopify-Hmac-Sha256"] = signing.webhook_signature(body, SECRET)
        return request

    return sign


def nothing(_running_app: RunningApp) -> Sign:
    """As anybody does it."""
    return lambda request: request
