"""Each kind of credential: valid, wrong, old, doubled and missing, over sockets.

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
from tests.running_app import OTHER_SHOP, SHOP, RunningApp
from tests.scenarios import (
    Headers,
    deliver,
    fingerprint,
    header,
    open_shared_app,
    post_webhook,
    refusal,
    waiting_job,
    webhook_headers,
    with_header,
    without_database,
)

shared_app = pytest.fixture(open_shared_app, scope="module")

RETRY = "x-shopify-retry-invalid-session-request"
BAD_TOKEN = (401, "UNAUTHENTICATED", "1")
NO_TOKEN = (401, "UNAUTHENTICATED", None)
AMBIGUOUS = (400, "AMBIGUOUS_CREDENTIALS", None)
EMPTY_BODY = signing.webhook_signature(b"", SECRET)
WRONG_SECRET = "the-secret-of-some-other-app"


# /v1: merchants

MERCHANT_ROUTES = ["job", "installation"]


async def request_route(
    shared_app: RunningApp, case: str, headers: Headers, query: str = ""
) -> httpx.Response:
    """A request to one of the merchant's routes with these headers."""
    if case == "installation":
        return await shared_app.http.post(f"/v1/installation{query}", headers=headers)
    ref = await waiting_job(shared_app)
    return await shared_app.http.get(f"/v1/jobs/{ref.public_id}{query}", headers=headers)


def refusal_details(response: httpx.Response) -> tuple[int, str, str | None]:
    """Status, code, and whether App Bridge is asked to fetch a fresh token."""
    return *refusal(response), response.headers.get(RETRY)


def token(shared_app: RunningApp, secret: str = SECRET, shop: str = SHOP, **changes: Any) -> str:
    """A session token."""
    key = {"api_key": shared_app.settings.shopify_api_key, "secret": secret}
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


@pytest.mark.parametrize("case", MERCHANT_ROUTES)
@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER ", "Bearer  "])
async def test_a_token_of_the_current_secret_is_accepted(
    shared_app: RunningApp, case: str, scheme: str
) -> None:
    assert (
        await request_route(shared_app, case, [bearer(token(shared_app), scheme)])
    ).status_code == 200


async def test_a_token_of_the_previous_secret_is_accepted_during_rotation(
    shared_app: RunningApp,
) -> None:
    headers = [bearer(token(shared_app, PREVIOUS_SECRET))]
    assert (await request_route(shared_app, "job", headers)).status_code == 200


async def test_a_token_can_be_used_repeatedly_until_it_expires(
    shared_app: RunningApp,
) -> None:
    headers = [bearer(token(shared_app))]
    answers = [await request_route(shared_app, "job", headers) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200] * 3


@pytest.mark.parametrize("case", MERCHANT_ROUTES)
async def test_an_invalid_token_is_refused_with_the_retry_header(
    shared_app: RunningApp, case: str
) -> None:
    good, now = token(shared_app), time.time()
    head, payload, signature = good.split(".")
    others = token(shared_app, shop=OTHER_SHOP).split(".")[1]
    bad: dict[str, str | bytes] = {
        "signed with a wrong secret": token(shared_app, WRONG_SECRET),
        "signed with nothing": token(shared_app, ""),
        "stale": token(shared_app, now=now - 120),
        "not yet valid": token(shared_app, now=now + 60),
        "alive for too long": token(shared_app, lifetime=3600),
        "another app's": token(shared_app, api_key="another-app"),
        "a buyer's": token(shared_app, sub="gid://shopify/Customer/1", sid=None),
        "for a shop by another name": token(shared_app, shop="evil.com"),
        "without a signature": f"{head}.{payload}.",
        "with another's payload": f"{head}.{others}.{signature}",
        "deep within the limit": deep_token(1_400),
        "a hundred thousand deep": deep_token(100_000),
        "not ASCII": f"é{good}",
        "not UTF-8": b"\xff\xfe" + good.encode(),
        "a webhook's signature": EMPTY_BODY,
        "quoted": f'"{good}"',
        "twice": f"{good},{good}",
        "dots": "..",
        "garbage": "garbage",
    }  # fmt: skip
    answers = {
        what: refusal_details(await request_route(shared_app, case, [bearer(it)]))
        for what, it in bad.items()
    }
    assert answers == dict.fromkeys(bad, BAD_TOKEN)


@pytest.mark.parametrize("case", MERCHANT_ROUTES)
async def test_other_kinds_of_credentials_are_refused(shared_app: RunningApp, case: str) -> None:
    good = token(shared_app)
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
    answers = {
        what: refusal_details(await request_route(shared_app, case, *key))
        for what, key in keys.items()
    }
    assert answers == dict.fromkeys(keys, NO_TOKEN)


@pytest.mark.parametrize("case", MERCHANT_ROUTES)
async def test_two_credentials_are_refused_in_any_order(shared_app: RunningApp, case: str) -> None:
    good, bad = bearer(token(shared_app)), bearer("garbage")
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
    answers = {
        what: refusal_details(await request_route(shared_app, case, pair))
        for what, pair in pairs.items()
    }
    assert answers == dict.fromkeys(pairs, AMBIGUOUS)


NAMES = [header(name, OTHER_SHOP) for name in ("Host", "X-Shopify-Shop-Domain", "X-Forwarded-Host")]


async def test_only_the_token_decides_whose_jobs_are_read(shared_app: RunningApp) -> None:
    await shared_app.install(OTHER_SHOP)
    foreign = await waiting_job(shared_app, shop=OTHER_SHOP)
    headers = [bearer(token(shared_app)), *NAMES]
    mine = await request_route(shared_app, "job", headers, f"?shop={OTHER_SHOP}")
    assert mine.status_code == 200
    theirs = await shared_app.http.request(
        "GET",
        f"/v1/jobs/{foreign.public_id}?shop={OTHER_SHOP}",
        headers=headers,
        json={"shop": OTHER_SHOP},
    )
    assert refusal(theirs) == (404, "JOB_NOT_FOUND")


async def test_only_the_token_decides_which_shop_is_installed(shared_app: RunningApp) -> None:
    await shared_app.install(OTHER_SHOP)
    before = await fingerprint(shared_app, OTHER_SHOP)
    response = await shared_app.http.post(
        f"/v1/installation?shop={OTHER_SHOP}",
        headers=[bearer(token(shared_app)), *NAMES],
        json={"shop": OTHER_SHOP},
    )
    assert response.json()["shop"] == SHOP
    assert await fingerprint(shared_app, OTHER_SHOP) == before


# /webhooks: Shopify

BODY = b'{"id": 1, "title": "Tee"}'
REFUSED = (401, "UNAUTHENTICATED")


async def count_deliveries(shared_app: RunningApp) -> int:
    """How many are in the inbox."""
    return len(await shared_app.rows("SELECT 1 FROM webhook_deliveries"))


@pytest.mark.parametrize("secret", [SECRET, PREVIOUS_SECRET])
async def test_both_secrets_verify_webhooks_during_rotation(
    shared_app: RunningApp, secret: str
) -> None:
    assert (await deliver(shared_app, BODY, secret=secret)).status_code == 200


async def test_a_webhook_with_a_wrong_signature_is_refused(shared_app: RunningApp) -> None:
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
    before = await count_deliveries(shared_app)
    answers = {
        what: refusal(
            await post_webhook(
                shared_app, BODY, with_header(headers, "X-Shopify-Hmac-Sha256", *values)
            )
        )
        for what, values in wrong.items()
    }
    assert answers == dict.fromkeys(wrong, REFUSED)
    assert await count_deliveries(shared_app) == before


async def test_an_empty_webhook_is_refused_despite_a_valid_signature(
    shared_app: RunningApp,
) -> None:
    assert refusal(await deliver(shared_app, b"")) == REFUSED


async def test_a_bearer_token_does_not_authenticate_a_webhook(shared_app: RunningApp) -> None:
    headers = with_header(webhook_headers(BODY), "X-Shopify-Hmac-Sha256")
    answer = await post_webhook(shared_app, BODY, [*headers, bearer(token(shared_app))])
    assert refusal(answer) == REFUSED


async def test_a_webhook_with_a_second_credential_is_refused(shared_app: RunningApp) -> None:
    headers = [*webhook_headers(BODY), bearer(token(shared_app))]
    assert refusal(await post_webhook(shared_app, BODY, headers)) == (400, "AMBIGUOUS_CREDENTIALS")


@pytest.mark.parametrize("second", ["the same", "another"])
async def test_a_required_webhook_header_may_not_be_repeated(
    shared_app: RunningApp, second: str
) -> None:
    headers = webhook_headers(BODY)
    others = {
        "X-Shopify-Hmac-Sha256": "A" * 43 + "=",
        "X-Shopify-Topic": "app/uninstalled",
        "X-Shopify-Shop-Domain": OTHER_SHOP,
        "X-Shopify-Webhook-Id": "another",
    }
    before = await count_deliveries(shared_app)
    for name, other in others.items():
        own = dict(headers)[name.encode()]
        pair = (own, own if second == "the same" else other)
        for both in (pair, pair[::-1]):
            answer = await post_webhook(shared_app, BODY, with_header(headers, name, *both))
            assert answer.status_code == 400, (name, both)
            refusal(answer)
    assert await count_deliveries(shared_app) == before


@pytest.mark.parametrize("name", ["Topic", "Shop-Domain", "Webhook-Id"])
async def test_a_required_webhook_header_must_be_present_and_readable(
    shared_app: RunningApp, name: str
) -> None:
    headers = webhook_headers(BODY)
    before = await count_deliveries(shared_app)
    values: list[list[str | bytes]] = [[], [""], ["é"], [b"\xff"], ["x" * 256]]
    for value in values:
        answer = await post_webhook(
            shared_app, BODY, with_header(headers, f"X-Shopify-{name}", *value)
        )
        assert refusal(answer) == (400, "BAD_REQUEST"), value
    assert await count_deliveries(shared_app) == before


NO_SHOPS = ["evil.com", f"{SHOP}.evil.com", f"https://{SHOP}", f"{SHOP}/", "ſ.myshopify.com"]


@pytest.mark.parametrize("shop", NO_SHOPS)
async def test_a_webhook_for_an_invalid_shop_domain_is_refused(
    shared_app: RunningApp, shop: str
) -> None:
    headers = with_header(webhook_headers(BODY), "X-Shopify-Shop-Domain", shop)
    assert refusal(await post_webhook(shared_app, BODY, headers)) == (400, "BAD_REQUEST")


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE"])
async def test_webhooks_accept_only_post(shared_app: RunningApp, method: str) -> None:
    headers = webhook_headers(BODY)
    answer = await shared_app.http.request(method, "/webhooks", content=BODY, headers=headers)
    assert answer.status_code == 405
    assert "POST" in answer.headers["allow"]


@pytest.mark.parametrize("encoding", ["gzip", "identity", "br"])
async def test_a_content_encoded_webhook_is_refused(shared_app: RunningApp, encoding: str) -> None:
    headers = [*webhook_headers(BODY), header("Content-Encoding", encoding)]
    assert refusal(await post_webhook(shared_app, BODY, headers)) == (415, "UNSUPPORTED_MEDIA_TYPE")


def body_of(size: int) -> bytes:
    """A JSON object of exactly so many bytes."""
    return b'{"id":1,"x":"' + b"x" * (size - 15) + b'"}'


async def test_a_webhook_of_five_million_bytes_is_accepted(shared_app: RunningApp) -> None:
    body = body_of(5_000_000)
    assert len(body) == 5_000_000
    assert (await deliver(shared_app, body)).status_code == 200


async def test_a_webhook_one_byte_too_large_is_refused(
    shared_app: RunningApp,
) -> None:
    body = body_of(5_000_001)
    headers = webhook_headers(body)

    async def in_chunks() -> AsyncIterator[bytes]:
        yield body[:3_000_000]
        yield body[3_000_000:]

    answers = [
        await post_webhook(shared_app, body, headers),
        await post_webhook(shared_app, body, headers[1:]),
        await shared_app.http.post("/webhooks", content=in_chunks(), headers=headers),
        await shared_app.http.post("/webhooks", content=in_chunks(), headers=headers[1:]),
    ]
    too_large, unsigned = (413, "BODY_TOO_LARGE"), (401, "UNAUTHENTICATED")
    assert [refusal(answer) for answer in answers] == [too_large, unsigned] * 2


async def test_a_chunked_webhook_within_the_limit_is_accepted(shared_app: RunningApp) -> None:
    async def in_chunks() -> AsyncIterator[bytes]:
        yield BODY[:5]
        yield BODY[5:]

    headers = webhook_headers(BODY)
    answer = await shared_app.http.post("/webhooks", content=in_chunks(), headers=headers)
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
async def test_a_signed_body_must_be_a_json_object(shared_app: RunningApp, what: str) -> None:
    before = await count_deliveries(shared_app)
    assert refusal(await deliver(shared_app, UNREADABLE[what])) == (400, "BAD_REQUEST")
    assert await count_deliveries(shared_app) == before


ODD = [
    b'{"id":1,"id":2}',
    b'{"id":"\\u00e9"}',
    '{"id":"é"}'.encode(),
    b'{\r\n\t"id" : 1\r\n}',
    b"{}\n",
]


@pytest.mark.parametrize("body", ODD)
async def test_unusual_signed_bytes_are_stored_unchanged(
    shared_app: RunningApp, body: bytes
) -> None:
    headers = webhook_headers(body)
    assert (await post_webhook(shared_app, body, headers)).status_code == 200
    webhook_id = dict(headers)[b"X-Shopify-Webhook-Id"].decode()
    stored = await shared_app.rows(
        "SELECT body FROM webhook_deliveries WHERE webhook_id = :id", id=webhook_id
    )
    assert [row["body"] for row in stored] == [body]


# Without a database


async def test_every_endpoint_answers_503_without_the_database(
    shared_app: RunningApp,
) -> None:
    ref = await waiting_job(shared_app)
    before = await count_deliveries(shared_app)
    async with without_database(shared_app) as client:
        answers = [
            await client.get(f"/v1/jobs/{ref.public_id}", headers=shared_app.bearer()),
            await client.post("/v1/installation", headers=shared_app.bearer()),
            await client.post("/webhooks", content=BODY, headers=webhook_headers(BODY)),
            await client.get("/health/ready"),
        ]
        assert (await client.get("/health/live")).status_code == 200
    for answer in answers:
        assert refusal(answer) == (503, "DATABASE_UNAVAILABLE")
        assert int(answer.headers["retry-after"]) > 0
    assert await count_deliveries(shared_app) == before


async def test_a_bad_credential_gets_401_even_without_the_database(shared_app: RunningApp) -> None:
    async with without_database(shared_app) as client:
        answers = [
            await client.get("/v1/jobs/x", headers=[bearer("garbage")]),
            await client.post("/webhooks", content=BODY, headers=webhook_headers(b"other")),
        ]
    assert [refusal(answer) for answer in answers] == [REFUSED] * 2


@pytest.mark.parametrize("second", ["atelier.example", "evil.example"])
async def test_two_host_headers_are_refused_everywhere(shared_app: RunningApp, second: str) -> None:
    """A proxy in front may have routed by the other one (RFC 9112 §3.2)."""
    job = f"/v1/jobs/{(await waiting_job(shared_app)).public_id}"
    key = [bearer(token(shared_app))]
    assert (await shared_app.http.get(job, headers=key)).status_code == 200  # known from now on
    hosts = [header("Host", "atelier.example"), header("Host", second)]
    addresses = ["/health/live", "/nowhere", "/proxy/v1/jobs/x", job, f"{job}/events", "/v1/jobs"]
    with structlog.testing.capture_logs() as lines:
        answers = {
            path: refusal(await send_raw(shared_app, "GET", path, hosts + key))
            for path in addresses
        }
        answers["/webhooks"] = refusal(
            await send_raw(shared_app, "POST", "/webhooks", hosts + webhook_headers(BODY), BODY)
        )
    assert answers == dict.fromkeys(answers, (400, "BAD_REQUEST"))
    assert [line["status"] for line in lines if line["event"] == "request"] == [400] * len(answers)


async def send_raw(
    running_app: RunningApp, method: str, path: str, headers: Headers, body: bytes = b""
) -> httpx.Response:
    """The answer to a request that no client would send: exactly these headers."""
    client = h11.Connection(h11.CLIENT)
    length = [header("Content-Length", str(len(body)))] if body else []
    lines = b"".join(name + b": " + value + b"\r\n" for name, value in headers + length)
    url = running_app.http.base_url
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
