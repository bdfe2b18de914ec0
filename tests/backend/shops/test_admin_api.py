"""The client of the Admin API: how long it waits, and what it takes for what."""

import asyncio
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from backend.errors import ShopifyBusy, ShopifyUnavailable, ShopInactive
from backend.settings import Settings
from backend.shops import admin_api
from backend.shops.admin_api import AdminApi, ShopifyRefused, TokenRefused
from backend.shops.documents import API_VERSION
from backend.shops.media_api import MutationRefused, mutate
from backend.shops.media_responses import CreatedPayload
from backend.shops.shopify_responses import json_object
from backend.shops.token_encryption import generate_key
from backend.shops.tokens import InstalledShop

SHOP = "north.myshopify.com"
QUESTION = "query { shop { id } }"
SAID: dict[str, Any] = {"data": {"shop": {"id": "gid://shopify/Shop/1"}}}
KEEPS = InstalledShop(id=1, domain=SHOP, scopes="", access_token="shpat_x")


def throttled(requested: float, available: float, rate: float) -> dict[str, Any]:
    """What Shopify answers, with HTTP 200, when the bucket does not hold what is asked."""
    status = {"maximumAvailable": 2000, "currentlyAvailable": available, "restoreRate": rate}
    cost = {"requestedQueryCost": requested, "actualQueryCost": None, "throttleStatus": status}
    return {
        "errors": [{"message": "Throttled", "extensions": {"code": "THROTTLED"}}],
        "extensions": {"cost": cost},
    }


class Answering(httpx.AsyncBaseTransport):
    """A Shopify that gives these answers, one after the other, and then the last for ever."""

    def __init__(self, *answers: tuple[int, Any, dict[str, str]]) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The next answer."""
        self.asked += 1
        status, body, headers = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return httpx.Response(status, json=body, headers=headers, request=request)


@pytest.fixture
def offline() -> Settings:
    """Settings that no other service needs."""
    return Settings(
        database_url="postgresql://nobody@127.0.0.1:9/nothing",
        s3_bucket="none",
        shopify_api_key="k",
        shopify_api_secret="the-secret-of-an-app",
        token_keys=generate_key(),
    )


def client(settings: Settings, *answers: tuple[int, Any, dict[str, str]]) -> AdminApi:
    """A client that gets these answers."""
    return AdminApi(settings, Answering(*answers))


def questions(admin: AdminApi) -> int:
    """How often it has asked."""
    return int(admin.http._transport.asked)  # type: ignore[attr-defined]


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that clients have waited, which pass at once."""
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(admin_api, "asyncio", SimpleNamespace(**{**vars(asyncio), "sleep": sleep}))
    return slept


async def ask(admin: AdminApi, *, max_wait: float) -> Any:
    """One question."""
    return await admin.graphql(SHOP, "shpat_x", QUESTION, {}, max_wait=max_wait)


async def test_the_client_waits_until_enough_points_are_restored(
    offline: Settings, waits: list[float]
) -> None:
    admin = client(offline, (200, throttled(120, 100, 100), {}), (200, SAID, {}))
    assert await ask(admin, max_wait=5) == SAID["data"]
    assert waits == [pytest.approx(0.21, abs=0.011)], "a little more, and never less"


async def test_the_client_waits_for_retry_after(offline: Settings, waits: list[float]) -> None:
    for status in (429, 430):
        slow = (status, {"errors": "slow"}, {"Retry-After": "0.2"})
        admin = client(offline, slow, slow, (200, SAID, {}))
        assert await ask(admin, max_wait=5) == SAID["data"]
        assert questions(admin) == 3
    assert waits == [pytest.approx(0.21, abs=0.011)] * 4


@pytest.mark.parametrize(
    ("answer", "wait"),
    [
        ((200, throttled(1000, 0, 10), {}), 100.0),
        ((200, throttled(1, 0, 0), {}), None),
        ((200, {"errors": throttled(1, 0, 1)["errors"]}, {}), None),
        ((429, {}, {"Retry-After": "7.5"}), 7.5),
        ((429, {}, {"Retry-After": "soon"}), None),
        ((429, {}, {"Retry-After": "nan"}), None),
        ((429, {}, {"Retry-After": "-3"}), None),
        ((430, {}, {}), None),
    ],
)
async def test_a_wait_beyond_the_patience_is_left_to_the_caller(
    offline: Settings, answer: Any, wait: float | None
) -> None:
    admin = client(offline, answer)
    with pytest.raises(ShopifyBusy) as caught:
        await ask(admin, max_wait=0.5)
    assert caught.value.wait == wait
    assert questions(admin) == 1


async def test_a_request_with_a_lost_response_is_not_repeated(offline: Settings) -> None:
    for status in (500, 502, 503, 504):
        admin = client(offline, (status, {}, {"Retry-After": "0.1"}), (200, SAID, {}))
        with pytest.raises(ShopifyUnavailable) as caught:
            await ask(admin, max_wait=5)
        assert (type(caught.value), caught.value.wait) == (ShopifyUnavailable, 0.1)
        assert questions(admin) == 1


async def test_the_three_places_of_errors_are_distinguished(offline: Settings) -> None:
    with pytest.raises(TokenRefused):
        await ask(client(offline, (401, {"errors": "x"}, {})), max_wait=0)
    with pytest.raises(ShopifyRefused, match="HTTP 404"):
        await ask(client(offline, (404, {"errors": "x"}, {})), max_wait=0)
    denied = {"errors": [{"message": "No", "extensions": {"code": "ACCESS_DENIED"}}], "data": None}
    with pytest.raises(ShopifyRefused) as caught:
        await ask(client(offline, (200, denied, {})), max_wait=0)
    assert caught.value.is_denied
    internal = {"errors": [{"message": "Oops", "extensions": {"code": "INTERNAL_SERVER_ERROR"}}]}
    with pytest.raises(ShopifyUnavailable):
        await ask(client(offline, (200, internal, {})), max_wait=0)
    error = {"code": "INVALID", "field": ["files"], "message": "No"}
    declined = {"data": {"fileCreate": {"files": None, "userErrors": [error]}}}
    with pytest.raises(MutationRefused) as refused:
        await mutate(client(offline, (200, declined, {})), KEEPS, "mutation", CreatedPayload)
    assert (refused.value.code, refused.value.message) == ("INVALID", "No")


@pytest.mark.parametrize(
    "answer",
    [
        (402, {"errors": "Unavailable Shop"}, {}),
        (403, {"errors": "Unavailable Shop"}, {}),
        (403, {}, {}),
        (423, {"errors": "Unavailable Shop"}, {}),
        (200, {"errors": [{"message": "x", "extensions": {"code": "SHOP_INACTIVE"}}]}, {}),
    ],
)
async def test_an_inactive_shop_can_be_asked_again_later(offline: Settings, answer: Any) -> None:
    with pytest.raises(ShopInactive):
        await ask(client(offline, answer), max_wait=0)


async def test_a_403_that_names_a_scope_is_a_missing_scope(offline: Settings) -> None:
    body = {"errors": "[API] This action requires merchant approval for read_products scope."}
    with pytest.raises(ShopifyRefused) as caught:
        await ask(client(offline, (403, body, {})), max_wait=0)
    assert caught.value.is_denied


async def test_a_403_for_a_token_without_an_expiry_refuses_the_token(offline: Settings) -> None:
    body = {"errors": "[API] Non-expiring access tokens are no longer accepted for the Admin API"}
    with pytest.raises(TokenRefused):
        await ask(client(offline, (403, body, {})), max_wait=0)


@pytest.mark.parametrize(
    "answer",
    [
        (408, {}, {}),
        (520, "error code: 520", {}),
        (200, {"errors": [{"message": "Internal error. Looks like something went wrong."}]}, {}),
        (200, {"errors": "Internal Server Error"}, {}),
        (200, {"errors": [{"message": "Timeout"}]}, {}),
    ],
)
async def test_an_error_that_passes_is_an_outage(offline: Settings, answer: Any) -> None:
    with pytest.raises(ShopifyUnavailable):
        await ask(client(offline, answer), max_wait=0)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (rb"a\u0000b", "ab"),
        (rb"\u0000\u0000", ""),
        (rb"a\\u0000", "a\\u0000"),
        (rb"a\\\u0000b", "a\\b"),
        (rb"\u00001", "1"),
        (rb"\n\u0000\ud83d\ude00", "\n\U0001f600"),
    ],
)
def test_nul_is_removed_from_texts_and_nothing_else(written: bytes, read: str) -> None:
    response = httpx.Response(200, content=b'{"title": "' + written + b'"}')
    assert json_object(response) == {"title": read}


@pytest.mark.parametrize("error", [{"extensions": None}, {"extensions": "x"}, {}, None, "No", 1])
async def test_an_error_without_a_code_is_a_refusal(offline: Settings, error: Any) -> None:
    with pytest.raises(ShopifyRefused):
        await ask(client(offline, (200, {"errors": [error]}, {})), max_wait=0)


@pytest.mark.parametrize(
    "body",
    [
        {"data": None},
        {"data": {"fileCreate": None}},
        {"data": {"fileCreate": {"files": None, "userErrors": []}}},
        {"data": {"fileCreate": {"files": [{}], "userErrors": []}}},
        {"data": {"fileCreate": {"files": [], "userErrors": [1]}}},
    ],
)
async def test_an_incomplete_payload_is_an_outage(offline: Settings, body: Any) -> None:
    with pytest.raises(ShopifyUnavailable):
        await mutate(client(offline, (200, body, {})), KEEPS, "mutation", CreatedPayload)


async def test_another_api_version_is_logged_once(
    offline: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    expired = {"X-Shopify-API-Version": "2027-01"}
    ours = {"X-Shopify-API-Version": API_VERSION}
    admin = client(offline, (200, SAID, ours), (200, SAID, expired), (200, SAID, expired))
    told: list[Any] = []

    def warning(event: str, **facts: Any) -> None:
        told.append((event, facts))

    monkeypatch.setattr(admin_api, "log", SimpleNamespace(warning=warning))
    for _ in range(3):
        await ask(admin, max_wait=0)
    assert told == [("shopify_api_version", {"asked": API_VERSION, "answered": "2027-01"})]


@pytest.mark.parametrize(
    "domain", ["evil.example", "north.myshopify.com.evil.example", "a\n.myshopify.com", ""]
)
async def test_a_token_is_sent_only_to_a_shop_domain(offline: Settings, domain: str) -> None:
    admin = client(offline, (200, SAID, {}))
    with pytest.raises(ValueError):
        await admin.graphql(domain, "shpat_x", QUESTION, {})
    assert questions(admin) == 0
