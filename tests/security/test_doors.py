"""Each door with the right key, the wrong key, an old key, two keys and none, over sockets.

What the verifiers themselves accept is `tests/backend/auth`'s matter; here it is whether the app
asks them, and what it says.
"""

import asyncio
import base64
import time
from collections.abc import AsyncIterator
from typing import Any

import h11
import httpx
import pytest
import structlog

from backend.dev import signing
from tests.conftest import PREVIOUS_SECRET, SECRET
from tests.doors import (
    Headers,
    deliver,
    fingerprint,
    header,
    post_webhook,
    refusal,
    replaced,
    shared_world,
    waiting_job,
    webhook_headers,
    without_database,
)
from tests.world import OTHER_SHOP, SHOP, World

house = pytest.fixture(shared_world, scope="module")

RETRY = "x-shopify-retry-invalid-session-request"
BAD_TOKEN = (401, "UNAUTHENTICATED", "1")
NO_TOKEN = (401, "UNAUTHENTICATED", None)
AMBIGUOUS = (400, "AMBIGUOUS_CREDENTIALS", None)
EMPTY_BODY = signing.webhook_signature(b"", SECRET)
WRONG_SECRET = "the-secret-of-some-other-app"


# /v1: the merchant's door

MERCHANT_DOORS = ["job", "installation"]


async def knock(house: World, door: str, headers: Headers, query: str = "") -> httpx.Response:
    """A request to one of the merchant's routes with these headers."""
    if door == "installation":
        return await house.http.post(f"/v1/installation{query}", headers=headers)
    ref = await waiting_job(house)
    return await house.http.get(f"/v1/jobs/{ref.public_id}{query}", headers=headers)


def refused(response: httpx.Response) -> tuple[int, str, str | None]:
    """Status, code, and whether App Bridge is asked to fetch a fresh token."""
    return *refusal(response), response.headers.get(RETRY)


def token(house: World, secret: str = SECRET, shop: str = SHOP, **changes: Any) -> str:
    """A session token."""
    key = {"api_key": house.settings.shopify_api_key, "secret": secret}
    return signing.session_token(shop, **(key | changes))


def bearer(value: str | bytes, scheme: str = "Bearer ") -> tuple[bytes, bytes]:
    """The header for a token."""
    name, token = header("Authorization", value)
    return name, scheme.encode() + token


def deep_token(depth: int, secret: str = SECRET) -> str:
    """A well-signed token whose payload is nothing but brackets."""
    payload = base64.urlsafe_b64encode(b"[" * depth + b"]" * depth).rstrip(b"=").decode()
    head = signing.json_web_token({}, secret).partition(".")[0]
    return f"{head}.{payload}.{signing.jwt_signature(f'{head}.{payload}', secret)}"


@pytest.mark.parametrize("door", MERCHANT_DOORS)
@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER "])
async def test_the_current_secrets_token_opens(house: World, door: str, scheme: str) -> None:
    assert (await knock(house, door, [bearer(token(house), scheme)])).status_code == 200


async def test_the_previous_secrets_token_reads_while_secrets_are_rotated(house: World) -> None:
    headers = [bearer(token(house, PREVIOUS_SECRET))]
    assert (await knock(house, "job", headers)).status_code == 200


async def test_a_token_opens_until_it_expires_however_often_it_is_shown(house: World) -> None:
    headers = [bearer(token(house))]
    answers = [await knock(house, "job", headers) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200] * 3


@pytest.mark.parametrize("door", MERCHANT_DOORS)
async def test_a_bad_token_is_refused_and_app_bridge_told_to_retry(house: World, door: str) -> None:
    good, now = token(house), time.time()
    head, payload, signature = good.split(".")
    others = token(house, shop=OTHER_SHOP).split(".")[1]
    bad: dict[str, str | bytes] = {
        "signed with a wrong secret": token(house, WRONG_SECRET),
        "signed with nothing": token(house, ""),
        "stale": token(house, now=now - 120),
        "not yet valid": token(house, now=now + 60),
        "alive for too long": token(house, lifetime=3600),
        "another app's": token(house, api_key="another-app"),
        "a buyer's": token(house, sub="gid://shopify/Customer/1", sid=None),
        "for a shop by another name": token(house, shop="evil.com"),
        "without a signature": f"{head}.{payload}.",
        "with another's payload": f"{head}.{others}.{signature}",
        "deep within the limit": deep_token(1_400),
        "a hundred thousand deep": deep_token(100_000),
        "not ASCII": f"é{good}",
        "not UTF-8": b"\xff\xfe" + good.encode(),
        "a webhook's signature": EMPTY_BODY,
        "quoted": f'"{good}"',
        "after two spaces": f" {good}",
        "twice": f"{good},{good}",
        "dots": "..",
        "garbage": "garbage",
    }  # fmt: skip
    answers = {what: refused(await knock(house, door, [bearer(it)])) for what, it in bad.items()}
    assert answers == dict.fromkeys(bad, BAD_TOKEN)


@pytest.mark.parametrize("door", MERCHANT_DOORS)
async def test_what_is_no_bearer_token_is_refused(house: World, door: str) -> None:
    good = token(house)
    hmac = "X-Shopify-Hmac-Sha256"
    keys: dict[str, tuple[Headers, str]] = {
        "nothing": ([], ""),
        "a token in the query": ([], f"?id_token={good}"),
        "a session in the query": ([], f"?session={good}"),
        "a token in a cookie": ([header("Cookie", f"id_token={good}")], ""),
        "a token under another scheme": ([header("Authorization", f"Token {good}")], ""),
        "a scheme alone": ([header("Authorization", "Bearer")], ""),
        "a token alone": ([header("Authorization", good)], ""),
        "a name and a password": ([header("Authorization", "Basic bm9ib2R5Om5vYm9keQ==")], ""),
        "the HMAC of an empty body": ([header(hmac, EMPTY_BODY)], f"?shop={SHOP}"),
        "an HMAC that is not ASCII": ([header(hmac, "é" * 22)], ""),
    }
    answers = {what: refused(await knock(house, door, *key)) for what, key in keys.items()}
    assert answers == dict.fromkeys(keys, NO_TOKEN)


@pytest.mark.parametrize("door", MERCHANT_DOORS)
async def test_two_credentials_are_one_too_many_in_any_order(house: World, door: str) -> None:
    good, bad = bearer(token(house)), bearer("garbage")
    empty = header("X-Shopify-Hmac-Sha256", EMPTY_BODY)
    pairs: dict[str, Headers] = {
        "good, bad": [good, bad],
        "bad, good": [bad, good],
        "the same twice": [good, good],
        "bearer, HMAC": [good, empty],
        "HMAC, bearer": [empty, good],
        "bad bearer, HMAC": [bad, empty],
        "HMAC twice": [empty, empty],
    }
    answers = {what: refused(await knock(house, door, pair)) for what, pair in pairs.items()}
    assert answers == dict.fromkeys(pairs, AMBIGUOUS)


NAMES = [header(name, OTHER_SHOP) for name in ("Host", "X-Shopify-Shop-Domain", "X-Forwarded-Host")]


async def test_only_the_token_says_whose_jobs_are_read(house: World) -> None:
    await house.install(OTHER_SHOP)
    foreign = await waiting_job(house, shop=OTHER_SHOP)
    headers = [bearer(token(house)), *NAMES]
    mine = await knock(house, "job", headers, f"?shop={OTHER_SHOP}")
    assert mine.status_code == 200
    theirs = await house.http.request(
        "GET",
        f"/v1/jobs/{foreign.public_id}?shop={OTHER_SHOP}",
        headers=headers,
        json={"shop": OTHER_SHOP},
    )
    assert refusal(theirs) == (404, "JOB_NOT_FOUND")


async def test_only_the_token_says_which_shop_is_installed(house: World) -> None:
    await house.install(OTHER_SHOP)
    before = await fingerprint(house, OTHER_SHOP)
    response = await house.http.post(
        f"/v1/installation?shop={OTHER_SHOP}",
        headers=[bearer(token(house)), *NAMES],
        json={"shop": OTHER_SHOP},
    )
    assert response.json()["shop"] == SHOP
    assert await fingerprint(house, OTHER_SHOP) == before


# /webhooks: Shopify's door

BODY = b'{"id": 1, "title": "Tee"}'
REFUSED = (401, "UNAUTHENTICATED")


async def count_deliveries(house: World) -> int:
    """How many are in the inbox."""
    return len(await house.rows("SELECT 1 FROM webhook_deliveries"))


@pytest.mark.parametrize("secret", [SECRET, PREVIOUS_SECRET])
async def test_either_secret_of_a_rotation_signs_webhooks(house: World, secret: str) -> None:
    assert (await deliver(house, BODY, secret=secret)).status_code == 200


async def test_a_webhook_that_is_not_signed_right_is_refused(house: World) -> None:
    headers = webhook_headers(BODY)
    right = signing.webhook_signature(BODY, SECRET)
    wrong: dict[str, list[str | bytes]] = {
        "missing": [],
        "empty": [""],
        "with a wrong secret": [signing.webhook_signature(BODY, WRONG_SECRET)],
        "with no secret": [signing.webhook_signature(BODY, "")],
        "of another body": [signing.webhook_signature(BODY + b" ", SECRET)],
        "of an empty body": [EMPTY_BODY],
        "cut short": [right[:-1]],
        "with something after it": [right + "x"],
        "in hex": [base64.b64decode(right).hex()],
        "not ASCII": ["é" * 22],
        "very long": ["A" * 50_000],
    }
    before = await count_deliveries(house)
    answers = {
        what: refusal(
            await post_webhook(house, BODY, replaced(headers, "X-Shopify-Hmac-Sha256", *values))
        )
        for what, values in wrong.items()
    }
    assert answers == dict.fromkeys(wrong, REFUSED)
    assert await count_deliveries(house) == before


async def test_an_empty_body_is_refused_though_its_signature_is_right(house: World) -> None:
    assert refusal(await deliver(house, b"")) == REFUSED


async def test_a_bearer_token_is_no_key_to_the_webhooks(house: World) -> None:
    headers = replaced(webhook_headers(BODY), "X-Shopify-Hmac-Sha256")
    answer = await post_webhook(house, BODY, [*headers, bearer(token(house))])
    assert refusal(answer) == REFUSED


async def test_a_webhook_with_a_second_credential_is_ambiguous(house: World) -> None:
    headers = [*webhook_headers(BODY), bearer(token(house))]
    assert refusal(await post_webhook(house, BODY, headers)) == (400, "AMBIGUOUS_CREDENTIALS")


@pytest.mark.parametrize("second", ["the same", "another"])
async def test_a_header_that_matters_may_be_there_once_only(house: World, second: str) -> None:
    headers = webhook_headers(BODY)
    others = {
        "X-Shopify-Hmac-Sha256": "A" * 43 + "=",
        "X-Shopify-Topic": "app/uninstalled",
        "X-Shopify-Shop-Domain": OTHER_SHOP,
        "X-Shopify-Webhook-Id": "another",
    }
    before = await count_deliveries(house)
    for name, other in others.items():
        own = dict(headers)[name.encode()]
        pair = (own, own if second == "the same" else other)
        for both in (pair, pair[::-1]):
            answer = await post_webhook(house, BODY, replaced(headers, name, *both))
            assert answer.status_code == 400, (name, both)
            refusal(answer)
    assert await count_deliveries(house) == before


@pytest.mark.parametrize("name", ["Topic", "Shop-Domain", "Webhook-Id"])
async def test_a_header_that_matters_must_be_there_and_readable(house: World, name: str) -> None:
    headers = webhook_headers(BODY)
    before = await count_deliveries(house)
    values: list[list[str | bytes]] = [[], [""], ["é"], [b"\xff"], ["x" * 256]]
    for value in values:
        answer = await post_webhook(house, BODY, replaced(headers, f"X-Shopify-{name}", *value))
        assert refusal(answer) == (400, "BAD_REQUEST"), value
    assert await count_deliveries(house) == before


NO_SHOPS = ["evil.com", f"{SHOP}.evil.com", f"https://{SHOP}", f"{SHOP}/", "ſ.myshopify.com"]


@pytest.mark.parametrize("shop", NO_SHOPS)
async def test_a_delivery_for_what_is_no_shop_is_refused(house: World, shop: str) -> None:
    headers = replaced(webhook_headers(BODY), "X-Shopify-Shop-Domain", shop)
    assert refusal(await post_webhook(house, BODY, headers)) == (400, "BAD_REQUEST")


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE"])
async def test_webhooks_are_posted_and_nothing_else(house: World, method: str) -> None:
    headers = webhook_headers(BODY)
    answer = await house.http.request(method, "/webhooks", content=BODY, headers=headers)
    assert answer.status_code == 405
    assert "POST" in answer.headers["allow"]


@pytest.mark.parametrize("encoding", ["gzip", "identity", "br"])
async def test_an_encoded_webhook_is_refused(house: World, encoding: str) -> None:
    headers = [*webhook_headers(BODY), header("Content-Encoding", encoding)]
    assert refusal(await post_webhook(house, BODY, headers)) == (415, "UNSUPPORTED_MEDIA_TYPE")


def body_of(size: int) -> bytes:
    """A JSON object of exactly so many bytes."""
    return b'{"id":1,"x":"' + b"x" * (size - 15) + b'"}'


async def test_a_webhook_of_five_million_bytes_is_taken(house: World) -> None:
    body = body_of(5_000_000)
    assert len(body) == 5_000_000
    assert (await deliver(house, body)).status_code == 200


async def test_one_byte_more_is_too_much_announced_or_not_and_unsigned_nobody_reads_it(
    house: World,
) -> None:
    body = body_of(5_000_001)
    headers = webhook_headers(body)

    async def in_chunks() -> AsyncIterator[bytes]:
        yield body[:3_000_000]
        yield body[3_000_000:]

    answers = [
        await post_webhook(house, body, headers),
        await post_webhook(house, body, headers[1:]),
        await house.http.post("/webhooks", content=in_chunks(), headers=headers),
        await house.http.post("/webhooks", content=in_chunks(), headers=headers[1:]),
    ]
    too_large, unsigned = (413, "BODY_TOO_LARGE"), (401, "UNAUTHENTICATED")
    assert [refusal(answer) for answer in answers] == [too_large, unsigned] * 2


async def test_a_chunked_webhook_within_the_limit_is_taken(house: World) -> None:
    async def in_chunks() -> AsyncIterator[bytes]:
        yield BODY[:5]
        yield BODY[5:]

    headers = webhook_headers(BODY)
    answer = await house.http.post("/webhooks", content=in_chunks(), headers=headers)
    assert answer.status_code == 200


UNREADABLE = {
    "a list": b"[]",
    "a string": b'"x"',
    "a number": b"1",
    "null": b"null",
    "nothing but space": b" ",
    "truncated": b'{"id": 1',
    "two objects": b"{}{}",
    "an object and a NUL": b'{"id": 1}\0',
    "a byte order mark": b'\xef\xbb\xbf{"id": 1}',
    "no UTF-8": b'{"id": "\xff"}',
    "half a surrogate": b'{"id": "\\ud800"}',
    "NaN": b'{"id": NaN}',
    "a hundred thousand brackets": b"[" * 100_000,
    "a hundred thousand deep": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "UTF-16": '{"id": 1}'.encode("utf-16"),
    "a number of five thousand digits": b'{"id": %s}' % (b"9" * 5_000),
}


@pytest.mark.parametrize("what", UNREADABLE)
async def test_a_signed_body_that_is_no_readable_json_object_is_refused(
    house: World, what: str
) -> None:
    before = await count_deliveries(house)
    assert refusal(await deliver(house, UNREADABLE[what])) == (400, "BAD_REQUEST")
    assert await count_deliveries(house) == before


ODD = [
    b'{"id":1,"id":2}',
    b'{"id":"\\u00e9"}',
    '{"id":"é"}'.encode(),
    b'{\r\n\t"id" : 1\r\n}',
    b"{}\n",
]


@pytest.mark.parametrize("body", ODD)
async def test_signed_bytes_are_taken_as_they_are_however_odd(house: World, body: bytes) -> None:
    headers = webhook_headers(body)
    assert (await post_webhook(house, body, headers)).status_code == 200
    webhook_id = dict(headers)[b"X-Shopify-Webhook-Id"].decode()
    stored = await house.rows(
        "SELECT body FROM webhook_deliveries WHERE webhook_id = :id", id=webhook_id
    )
    assert [row["body"] for row in stored] == [body]


# Doors to a house without a database


async def test_without_a_database_every_door_says_later_and_nothing_else(house: World) -> None:
    ref = await waiting_job(house)
    before = await count_deliveries(house)
    async with without_database(house) as client:
        answers = [
            await client.get(f"/v1/jobs/{ref.public_id}", headers=house.bearer()),
            await client.post("/v1/installation", headers=house.bearer()),
            await client.post("/webhooks", content=BODY, headers=webhook_headers(BODY)),
            await client.get("/health/ready"),
        ]
        assert (await client.get("/health/live")).status_code == 200
    for answer in answers:
        assert refusal(answer) == (503, "DATABASE_UNAVAILABLE")
        assert int(answer.headers["retry-after"]) > 0
    assert await count_deliveries(house) == before


async def test_without_a_database_a_bad_key_is_still_a_bad_key(house: World) -> None:
    async with without_database(house) as client:
        answers = [
            await client.get("/v1/jobs/x", headers=[bearer("garbage")]),
            await client.post("/webhooks", content=BODY, headers=webhook_headers(b"other")),
        ]
    assert [refusal(answer) for answer in answers] == [REFUSED] * 2


@pytest.mark.parametrize("second", ["atelier.example", "evil.example"])
async def test_two_hosts_are_refused_at_every_address(house: World, second: str) -> None:
    """A proxy in front may have routed by the other one (RFC 9112 §3.2)."""
    job = f"/v1/jobs/{(await waiting_job(house)).public_id}"
    key = [bearer(token(house))]
    assert (await house.http.get(job, headers=key)).status_code == 200  # known from now on
    hosts = [header("Host", "atelier.example"), header("Host", second)]
    addresses = ["/health/live", "/nowhere", "/proxy/v1/jobs/x", job, f"{job}/events", "/v1/jobs"]
    with structlog.testing.capture_logs() as lines:
        answers = {path: refusal(await sent(house, "GET", path, hosts + key)) for path in addresses}
        answers["/webhooks"] = refusal(
            await sent(house, "POST", "/webhooks", hosts + webhook_headers(BODY), BODY)
        )
    assert answers == dict.fromkeys(answers, (400, "BAD_REQUEST"))
    assert [line["status"] for line in lines if line["event"] == "request"] == [400] * len(answers)


async def sent(
    world: World, method: str, path: str, headers: Headers, body: bytes = b""
) -> httpx.Response:
    """The answer to a request that no client would send: exactly these headers."""
    client = h11.Connection(h11.CLIENT)
    length = [header("Content-Length", str(len(body)))] if body else []
    lines = b"".join(name + b": " + value + b"\r\n" for name, value in headers + length)
    url = world.http.base_url
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(f"{method} {path} HTTP/1.1\r\n".encode() + lines + b"\r\n" + body)
    client.send(h11.Request(method=method, target=path, headers=[("Host", "one")]))
    content, start = b"", None
    async with asyncio.timeout(10):
        while not isinstance(event := client.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA:
                client.receive_data(await reader.read(65_536))
            elif isinstance(event, h11.Response):
                start = event
            elif isinstance(event, h11.Data):
                content += event.data
    writer.close()
    assert start is not None
    return httpx.Response(start.status_code, headers=start.headers.raw_items(), content=content)
