"""Signed requests: only their own signature, over the whole request, is accepted."""

import base64
import hashlib
import hmac
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.auth.signed_request import signed_request, verify_signed_request

SECRET, PREVIOUS = b"current-secret", b"previous-secret"
NOW = 1_764_000_000
SHOP = "north.myshopify.com"
REQUEST: dict[str, Any] = {
    "method": "GET",
    "path": b"/v1/jobs/01ABC",
    "query": f"shop={SHOP}&timestamp={NOW}".encode(),
    "body": b"",
}


def oracle(secret: bytes, *, method: str, path: bytes, query: bytes, body: bytes) -> bytes:
    """The signature as the contract words it, with code of its own."""
    key = hmac.new(secret, b"atelier/signed-request/v1", "sha256").digest()
    lines = [method.encode(), path, query, hashlib.sha256(body).hexdigest().encode()]
    return base64.b64encode(hmac.new(key, b"\n".join(lines), "sha256").digest())


def verified(signature: bytes, *, now: int = NOW, **changes: Any) -> str | None:
    """The verifier's word on the request, changed."""
    told = digested({**REQUEST, **changes})
    return verify_signed_request(signature, (SECRET, PREVIOUS), now=now, **told)


def digested(request: dict[str, Any]) -> dict[str, Any]:
    """The request with its body's digest in the body's place."""
    told = {name: value for name, value in request.items() if name != "body"}
    return {**told, "digest": hashlib.sha256(request["body"]).hexdigest()}


@pytest.mark.parametrize("secret", [SECRET, PREVIOUS])
def test_the_current_and_the_previous_key_are_accepted(secret: bytes) -> None:
    assert verified(oracle(secret, **REQUEST)) == SHOP


def test_a_wrong_or_empty_key_is_refused() -> None:
    assert verified(oracle(b"wrong", **REQUEST)) is None
    empty = oracle(b"", **REQUEST)
    assert verify_signed_request(empty, (b"",), now=NOW, **digested(REQUEST)) is None
    assert verify_signed_request(empty, (), now=NOW, **digested(REQUEST)) is None


@pytest.mark.parametrize(
    "change",
    [
        {"method": "POST"},
        {"path": b"/v1/jobs/01ABD"},
        {"path": b"/v1/jobs/01ABC/"},
        {"query": f"shop=south.myshopify.com&timestamp={NOW}".encode()},
        {"query": f"timestamp={NOW}&shop={SHOP}".encode()},
        {"body": b"{}"},
    ],
)
def test_every_part_of_the_request_is_signed(change: dict[str, Any]) -> None:
    assert verified(oracle(SECRET, **REQUEST), **change) is None


@pytest.mark.parametrize(("drift", "opens"), [(90, True), (-90, True), (91, False), (-91, False)])
def test_a_signature_is_valid_for_ninety_seconds_either_way(drift: int, opens: bool) -> None:
    assert (verified(oracle(SECRET, **REQUEST), now=NOW + drift) == SHOP) is opens


@pytest.mark.parametrize(
    "query",
    [
        f"shop={SHOP}",
        f"timestamp={NOW}",
        f"shop={SHOP}&shop={SHOP}&timestamp={NOW}",
        f"shop={SHOP}&timestamp={NOW}&timestamp={NOW}",
        f"shop={SHOP}&timestamp={NOW}.0",
        f"shop={SHOP}&timestamp=",
        f"shop={SHOP}&timestamp=NaN",
        f"shop={SHOP}&timestamp=%D9%A1",
        f"shop={SHOP}&timestamp={'9' * 5000}",
        f"shop=evil.example&timestamp={NOW}",
        f"shop={SHOP}.evil.example&timestamp={NOW}",
        f"shop={SHOP}%0A&timestamp={NOW}",
        f"shop={SHOP}&timestamp={NOW}&" + "a=1&" * 100,
        f"shop={SHOP}&timestamp={NOW}&a={'b' * 9000}",
        "",
    ],
)
def test_a_signed_query_must_contain_one_shop_and_one_fresh_timestamp(query: str) -> None:
    request = {**REQUEST, "query": query.encode()}
    assert verified(oracle(SECRET, **request), **request) is None


def test_shopifys_own_signatures_are_refused() -> None:
    digest = hashlib.sha256().hexdigest().encode()
    text = b"\n".join([b"GET", REQUEST["path"], REQUEST["query"], digest])
    for signed in (text, REQUEST["query"], b""):
        signature = base64.b64encode(hmac.new(SECRET, signed, "sha256").digest())
        assert verified(signature) is None


@given(st.binary(max_size=60), st.binary(max_size=200))
def test_random_signatures_are_refused_without_exceptions(signature: bytes, query: bytes) -> None:
    assert verified(signature, query=query) is None


@pytest.mark.parametrize(
    "url", ["https://a.example/v1/jobs/01ABC", "https://a.example/v1/jobs?limit=2"]
)
def test_a_request_signed_by_the_command_line_is_accepted(url: str) -> None:
    address, signature = signed_request(SECRET, method="get", url=url, shop=SHOP, body=b"", now=NOW)
    path, _, query = address.removeprefix("https://a.example").partition("?")
    assert verified(signature.encode(), path=path.encode(), query=query.encode()) == SHOP
