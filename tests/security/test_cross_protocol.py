"""What Shopify signs for one purpose, used for another (T-01, T-02).

Session tokens, OAuth's query, the app proxy's query and webhooks are all signed with the one
client secret, so each of them carries a valid signature over *some* bytes. The victim here is a
shop that did nothing; what is held of it must be the same before and after.
"""

import base64
import hashlib
import hmac
import json

import httpx
import pytest

from backend.dev import signing
from backend.dev.shopify import payloads
from tests.conftest import SECRET
from tests.running_app import OTHER_SHOP, SHOP, RunningApp
from tests.scenarios import (
    Headers,
    fingerprint,
    finished_job,
    missing_objects,
    open_shared_app,
    post_webhook,
    refusal,
    waiting_job,
    webhook_headers,
    with_header,
)

shared_app = pytest.fixture(open_shared_app, scope="module")

VICTIM = OTHER_SHOP
TOPICS = ["app/uninstalled", "shop/redact", "customers/redact", "products/update"]
CUSTOMER = "191167"  # as in the stand-in's samples


class Watched:
    """A shop with jobs and pictures, and what was held of it to begin with."""

    def __init__(self, running_app: RunningApp, keys: list[str], before: dict[str, str]) -> None:
        self.running_app = running_app
        self.keys = keys
        self.before = before

    async def assert_untouched(self) -> None:
        """Its rows and its pictures are as they were, also after the worker has been through."""
        await self.running_app.drain(only_webhooks=True)
        assert await fingerprint(self.running_app, VICTIM) == self.before
        assert await missing_objects(self.running_app, self.keys) == []


@pytest.fixture
async def victim(shared_app: RunningApp) -> Watched:
    """The victim, with a job of one of its customers, and one that waits."""
    await shared_app.install(VICTIM)
    _, keys = await finished_job(shared_app, shop=VICTIM, customer_id=CUSTOMER)
    await waiting_job(shared_app, shop=VICTIM)
    return Watched(shared_app, keys, await fingerprint(shared_app, VICTIM))


async def replay(
    running_app: RunningApp, body: bytes, signature: bytes, topic: str, shop: str = VICTIM
) -> httpx.Response:
    """Somebody else's bytes and their signature, as a webhook."""
    return await post_webhook(running_app, body, replayed_headers(body, signature, topic, shop))


def replayed_headers(body: bytes, signature: bytes, topic: str, shop: str) -> Headers:
    """The headers of a delivery with that signature, in the webhooks' spelling."""
    headers = webhook_headers(body, topic=topic, shop=shop)
    return with_header(headers, "X-Shopify-Hmac-Sha256", base64.b64encode(signature))


def sign(text: bytes) -> bytes:
    """Shopify's signature of a text, as it makes it for every purpose."""
    return hmac.digest(SECRET.encode(), text, hashlib.sha256)


@pytest.mark.parametrize("topic", TOPICS)
async def test_a_session_token_is_not_accepted_as_a_webhook(
    shared_app: RunningApp, victim: Watched, topic: str
) -> None:
    token = shared_app.shopify.id_token(SHOP)
    body, _, signature = token.rpartition(".")
    decoded = base64.urlsafe_b64decode(signature + "=")
    assert decoded == sign(body.encode()), "the attack is real: this is a valid signature"
    answer = await replay(shared_app, body.encode(), decoded, topic)
    assert refusal(answer) == (400, "BAD_REQUEST")
    await victim.assert_untouched()


@pytest.mark.parametrize("topic", TOPICS)
async def test_an_oauth_query_is_not_accepted_as_a_webhook(
    shared_app: RunningApp, victim: Watched, topic: str
) -> None:
    query = f"code=0907a61c&host=YWRtaW4&shop={SHOP}&state=0.67&timestamp=1337178173".encode()
    assert refusal(await replay(shared_app, query, sign(query), topic)) == (400, "BAD_REQUEST")
    await victim.assert_untouched()


def proxy_text(shop: str, **visitors: str) -> bytes:
    """What the app proxy signs for a visitor of `shop`: sorted, and without separators."""
    pairs = {
        "shop": shop,
        "path_prefix": "/apps/atelier",
        "timestamp": "1790000000",
        "logged_in_customer_id": "",
        **visitors,
    }
    text = b"".join(sorted(f"{name}={value}".encode() for name, value in pairs.items()))
    query = signing.app_proxy_query(pairs, SECRET)
    assert query.endswith(sign(text).hex()), "the attack is real: Shopify signs this text"
    return text


@pytest.mark.parametrize("topic", TOPICS)
async def test_an_app_proxy_query_is_not_accepted_as_a_webhook(
    shared_app: RunningApp, victim: Watched, topic: str
) -> None:
    text = proxy_text(SHOP, **{"!": "{", "a": '{"id":1}'})
    assert refusal(await replay(shared_app, text, sign(text), topic)) == (400, "BAD_REQUEST")
    await victim.assert_untouched()


@pytest.mark.parametrize("space", [" ", "\t", "\n", "\r"])
async def test_a_query_that_spells_a_json_object_is_not_accepted_as_a_webhook(
    shared_app: RunningApp, victim: Watched, space: str
) -> None:
    """White space sorts before Shopify's own names, and JSON may begin with it."""
    rest = json.dumps({"shop_domain": VICTIM, "customer": {"id": int(CUSTOMER)}})[1:]
    text = proxy_text(SHOP, **{space + '{"a': '":"', "~": f'", {rest}'})
    assert json.loads(text)["shop_domain"] == VICTIM, "the attack is real: this is a JSON object"
    answer = await replay(shared_app, text, sign(text), "customers/redact")
    await victim.assert_untouched()
    assert refusal(answer) == (400, "BAD_REQUEST")


@pytest.mark.parametrize("topic", ["app/uninstalled", "shop/redact", "customers/redact"])
@pytest.mark.parametrize("shop", [SHOP, VICTIM])
async def test_a_captured_product_webhook_is_harmless_under_another_topic(
    shared_app: RunningApp, victim: Watched, topic: str, shop: str
) -> None:
    own = await fingerprint(shared_app, SHOP)
    product = shared_app.product(b"unread", shop=shop)
    captured = json.dumps(payloads.product_payload(product)).encode()
    answer = await replay(shared_app, captured, sign(captured), topic)
    assert answer.status_code == 200, "signed by Shopify, and an object: it is taken in"
    await victim.assert_untouched()
    assert await fingerprint(shared_app, SHOP) == own


async def test_a_captured_product_webhook_creates_no_job_for_another_shop(
    shared_app: RunningApp, victim: Watched
) -> None:
    captured = json.dumps(
        payloads.product_payload(shared_app.product(b"unread", shop=SHOP))
    ).encode()
    await replay(shared_app, captured, sign(captured), "products/update")
    await victim.assert_untouched()


@pytest.mark.parametrize("topic", [*TOPICS[:3], "customers/data_request"])
async def test_a_webhook_of_one_shop_does_nothing_to_another(
    shared_app: RunningApp, victim: Watched, topic: str
) -> None:
    captured = json.dumps(shared_app.shopify.payload(SHOP, topic)).encode()
    assert (await replay(shared_app, captured, sign(captured), topic)).status_code == 200
    await victim.assert_untouched()


@pytest.mark.parametrize("topic", ["customers/redact", "shop/redact"])
async def test_a_captured_data_request_does_not_erase_anything(
    shared_app: RunningApp, victim: Watched, topic: str
) -> None:
    """It names the victim and the customer in its signed body; only its topic is a header."""
    body = dict(shared_app.shopify.payload(VICTIM, "customers/data_request"))
    body["customer"] = {"id": int(CUSTOMER)}
    captured = json.dumps(body).encode()
    if topic == "shop/redact":  # the shop has left, so this topic could act
        await shared_app.execute(
            "UPDATE shops SET status = 'uninstalled' WHERE domain = :d", d=VICTIM
        )
        victim.before = await fingerprint(shared_app, VICTIM)
    assert (await replay(shared_app, captured, sign(captured), topic)).status_code == 200
    await victim.assert_untouched()


@pytest.mark.parametrize("case", ["/v1/jobs/{}", "/v1/installation", "/health/ready"])
async def test_the_signature_of_an_empty_body_opens_no_other_route(
    shared_app: RunningApp, victim: Watched, case: str
) -> None:
    ref = await waiting_job(shared_app)
    path = case.format(ref.public_id)
    headers = replayed_headers(b"", sign(b""), "products/update", VICTIM)
    plain = await shared_app.http.get(path)
    with_key = await shared_app.http.get(path, headers=headers)
    assert with_key.status_code == plain.status_code
    assert ref.public_id not in with_key.text
    await victim.assert_untouched()


async def test_a_webhook_signature_cannot_be_used_as_a_session_token(
    shared_app: RunningApp,
) -> None:
    """Nor can one be made from them: a token's two dots never stand in a JSON object's place."""
    body = json.dumps({"iss": f"https://{VICTIM}/admin"}).encode()
    signature = base64.urlsafe_b64encode(sign(body)).rstrip(b"=").decode()
    for token in (f"{body.decode()}.{signature}", f"e30.{body.hex()}.{signature}"):
        answer = await shared_app.http.get(
            "/v1/jobs/x", headers={"Authorization": f"Bearer {token}"}
        )
        assert refusal(answer) == (401, "UNAUTHENTICATED")
