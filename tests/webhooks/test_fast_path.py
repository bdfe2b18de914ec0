"""The fast path answers deliveries with exactly the same bytes as the route."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.running_app import RunningApp
from tests.scenarios import Headers, webhook_headers, with_header, without_database
from webhooks import fast_path, routes
from webhooks.fast_path import WebhookFastPath
from webhooks.routes import MAX_WEBHOOK_BYTES

FAST, ROUTE = "/webhooks", "/webhooks/"  # with a slash, the framework is entered
BODY = b'{"id": 1}'


@pytest.fixture
def fast_answers(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The statuses of the fast path's answers."""
    statuses: list[int] = []
    respond = WebhookFastPath.response

    async def spy(self: WebhookFastPath, *request: Any) -> Any:
        response = await respond(self, *request)
        statuses.append(int(response.status))
        return response

    monkeypatch.setattr(WebhookFastPath, "response", spy)
    return statuses


def comparable(answer: httpx.Response) -> tuple[int, bytes, list[tuple[str, str]]]:
    """All of it but the request's id and the date; headers in no order."""
    headers = httpx.Headers(answer.headers)
    request_id = headers.pop("x-request-id").encode()
    del headers["date"]
    return (
        answer.status_code,
        answer.content.replace(request_id, b""),
        sorted(headers.multi_items()),
    )


def changed(**changes: str) -> Headers:
    """The headers of a delivery, some of them with another value or, for an empty one, left out."""
    headers = webhook_headers(BODY)
    for name, value in changes.items():
        headers = with_header(headers, name.replace("_", "-").title(), *([value] if value else []))
    return headers


TWICE = ("products/update", "products/create")
KINDS: dict[str, tuple[int, Headers, bytes]] = {
    "a delivery": (200, changed(), BODY),
    "of an unknown shop": (200, changed(x_shopify_shop_domain="no.myshopify.com"), BODY),
    "of an unknown topic": (200, changed(x_shopify_topic="orders/paid"), BODY),
    "with a request ID": (200, changed(x_request_id="chosen-by-client"), BODY),
    "altered": (401, changed(), b'{"id": 2}'),
    "without a signature": (401, changed(x_shopify_hmac_sha256=""), BODY),
    "with two credentials": (400, changed(authorization="Bearer x"), BODY),
    "without a topic": (400, changed(x_shopify_topic=""), BODY),
    "of no shop": (400, changed(x_shopify_shop_domain="evil.example"), BODY),
    "with two topics": (400, with_header(changed(), "X-Shopify-Topic", *TWICE), BODY),
    "encoded": (415, changed(content_encoding="gzip"), BODY),
    "of an array": (400, webhook_headers(b"[]"), b"[]"),
    "of broken JSON": (400, webhook_headers(b"{"), b"{"),
    "empty": (401, webhook_headers(b""), b""),
    "too long": (413, changed(), b"{" * (MAX_WEBHOOK_BYTES + 1)),
}


@pytest.mark.parametrize("kind", KINDS)
async def test_both_paths_answer_a_delivery_alike(
    shared_app: RunningApp, fast_answers: list[int], kind: str
) -> None:
    status, headers, body = KINDS[kind]
    fast, route = [
        await shared_app.http.post(path, headers=headers, content=body) for path in (FAST, ROUTE)
    ]
    assert fast.status_code == status
    assert comparable(fast) == comparable(route)
    assert fast_answers == [status]


async def test_both_paths_limit_a_body_of_unknown_length(
    shared_app: RunningApp, fast_answers: list[int]
) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(MAX_WEBHOOK_BYTES // 100_000 + 1):
            yield b"{" * 100_000

    fast, route = [
        await shared_app.http.post(path, headers=changed(), content=chunks())
        for path in (FAST, ROUTE)
    ]
    assert comparable(fast) == comparable(route)
    assert fast_answers == [413]


async def test_both_paths_say_that_the_database_is_away(
    running_app: RunningApp, fast_answers: list[int]
) -> None:
    async with without_database(running_app) as http:
        fast, route = [
            await http.post(path, headers=changed(), content=BODY) for path in (FAST, ROUTE)
        ]
    assert comparable(fast) == comparable(route)
    assert fast_answers == [503]


async def test_both_paths_hide_a_bug(
    shared_app: RunningApp, fast_answers: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (fast_path, routes):
        monkeypatch.setattr(module, "receive_delivery", None)
    fast, route = [
        await shared_app.http.post(path, headers=changed(), content=BODY) for path in (FAST, ROUTE)
    ]
    assert comparable(fast) == comparable(route)
    assert fast_answers == [500]


@pytest.mark.parametrize("method", ["GET", "PUT"])
async def test_other_methods_are_left_to_the_route(
    shared_app: RunningApp, fast_answers: list[int], method: str
) -> None:
    answer = await shared_app.http.request(method, FAST)
    assert answer.status_code == 405
    assert answer.headers["allow"] == "OPTIONS, POST"
    assert not fast_answers
