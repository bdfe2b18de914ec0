"""`Idempotency-Key`: a repeated request is executed once and gets the same response."""

import asyncio
import contextlib
import json
import time
from collections import Counter
from collections.abc import AsyncIterator

import httpx
import pytest
from msgspec.structs import replace

from backend.auth.signed_request import signed_request
from backend.dev.services import LocalServices
from backend.dev.transport import NO_TLS
from backend.jobs.idempotency import Repeatable, claim_key
from backend.jobs.schemas import JobAcceptedResponse
from backend.jobs.states import JobStatus
from backend.renderers.base import Renderer
from tests.conftest import PREVIOUS_SECRET, SECRET, settings_for
from tests.running_app import OTHER_SHOP, RunningApp, cloned_database, open_running_app
from tests.scenarios import new_shop, refusal, wait_for_lock

CATALOG = "/v1/catalog-image"
PREVIEW = "/v1/product-to-model-direct"
BODY = b'{"product_id": "gid://shopify/Product/1"}'
OTHER_BODY = b'{"product_id": "gid://shopify/Product/2"}'
PREVIEW_BODY = b'{"product_id": "gid://shopify/Product/1", "category": "top"}'
REPLAYED = "idempotency-replayed"
ANSWER = JobAcceptedResponse(
    request_id="earlier", job_id="0" * 26, status=JobStatus.NOT_STARTED, credits_cost=1
)


@pytest.fixture(scope="module")
async def shared_app(
    services: LocalServices, template: str, renderer: Renderer
) -> AsyncIterator[RunningApp]:
    """A running app without a rate limit for writes."""
    async with cloned_database(services.postgres.url(), template) as url:
        settings = replace(settings_for(services, url), rate_limit_writes="1000000/minute")
        async with open_running_app(settings, renderer) as running_app:
            await running_app.install()
            await running_app.install(OTHER_SHOP)
            yield running_app


shop = pytest.fixture(new_shop)


async def post_job(
    shared_app: RunningApp,
    shop: str,
    key: str | bytes,
    body: bytes = BODY,
    *,
    path: str = CATALOG,
    http: httpx.AsyncClient | None = None,
) -> httpx.Response:
    """A request from the admin's page."""
    headers: list[tuple[str, str | bytes]] = [
        *shared_app.bearer(shop).items(),
        ("Content-Type", "application/json"),
        ("Idempotency-Key", key),
    ]
    return await (http or shared_app.http).post(path, content=body, headers=headers)  # type: ignore[arg-type]


async def stored_jobs(shared_app: RunningApp, shop: str) -> list[str]:
    """The shop's jobs."""
    rows = await shared_app.rows(
        "SELECT public_id FROM jobs WHERE shop_id = (SELECT id FROM shops WHERE domain = :d)",
        d=shop,
    )
    return [row["public_id"] for row in rows]


async def stored_keys(shared_app: RunningApp, shop: str) -> list[str]:
    """The shop's keys."""
    rows = await shared_app.rows(
        "SELECT key FROM idempotency_keys WHERE shop_id = (SELECT id FROM shops WHERE domain = :d)",
        d=shop,
    )
    return [row["key"] for row in rows]


async def many_at_once(shared_app: RunningApp, shop: str, count: int) -> list[httpx.Response]:
    """As many requests with one key, from ten clients with 25 connections each.

    One client's pool would take longer to choose a connection than the server to answer.
    """
    limits = httpx.Limits(max_connections=25)
    async with contextlib.AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(
                httpx.AsyncClient(
                    base_url=shared_app.http.base_url, limits=limits, verify=NO_TLS, timeout=60
                )
            )
            for _ in range(10)
        ]
        return await asyncio.gather(
            *(post_until_answered(shared_app, shop, "k", clients[n % 10]) for n in range(count))
        )


async def post_until_answered(
    shared_app: RunningApp, shop: str, key: str, http: httpx.AsyncClient
) -> httpx.Response:
    """The answer; one that got lost on its way is asked for again, which is what a key is for."""
    while True:
        try:
            return await post_job(shared_app, shop, key, http=http)
        except httpx.TransportError:
            await asyncio.sleep(0.1)


def is_first(answer: httpx.Response) -> bool:
    """Whether this answer is to a request that made its job; fails if it made and repeats none."""
    assert answer.status_code == 202, answer.text
    return REPLAYED not in answer.headers


# Once


@pytest.mark.parametrize("count", [100, pytest.param(1000, marks=pytest.mark.slow)])
async def test_concurrent_requests_with_one_key_create_one_job(
    shared_app: RunningApp, shop: str, count: int
) -> None:
    answers = await many_at_once(shared_app, shop, count)
    counts = Counter(answer.status_code for answer in answers)
    print(dict(counts))  # with -s: how many were turned away depends on the machine
    assert counts.keys() <= {202, 409, 503}
    assert counts[202] >= 1
    for answer in answers:
        if answer.status_code != 202:
            assert refusal(answer)[1] in {"REQUEST_IN_PROGRESS", "DATABASE_UNAVAILABLE"}
            assert int(answer.headers["retry-after"]) > 0, "it says that one may come again"
    assert len(await stored_jobs(shared_app, shop)) == 1
    again = await post_job(shared_app, shop, "k")
    assert {answer.content for answer in [*answers, again] if answer.is_success} == {again.content}
    assert sum(is_first(answer) for answer in answers if answer.is_success) <= 1
    assert again.json()["job_id"] in await stored_jobs(shared_app, shop)


async def test_of_two_bodies_with_one_key_only_one_is_accepted(
    shared_app: RunningApp, shop: str
) -> None:
    answers = await asyncio.gather(
        *(post_job(shared_app, shop, "k", (BODY, OTHER_BODY)[n % 2]) for n in range(8))
    )
    counts = Counter(answer.status_code for answer in answers)
    assert counts == {202: 4, 422: 4}
    assert {refusal(answer) for answer in answers if answer.is_error} == {
        (422, "IDEMPOTENCY_KEY_REUSED")
    }
    assert len(await stored_jobs(shared_app, shop)) == 1


async def test_an_expired_key_can_be_reused_once(shared_app: RunningApp, shop: str) -> None:
    before = await post_job(shared_app, shop, "k")
    await shared_app.execute("UPDATE idempotency_keys SET created_at = now() - interval '25 hours'")
    answers = await asyncio.gather(*(post_job(shared_app, shop, "k", OTHER_BODY) for _ in range(8)))
    assert sum(is_first(answer) for answer in answers) == 1
    assert len({answer.content for answer in answers}) == 1
    assert len(await stored_jobs(shared_app, shop)) == 2
    assert answers[0].json()["job_id"] != before.json()["job_id"]
    assert refusal(await post_job(shared_app, shop, "k")) == (422, "IDEMPOTENCY_KEY_REUSED")


# Meanwhile


class Dies(Exception):
    """What becomes of the other process."""


@contextlib.asynccontextmanager
async def claim_key_elsewhere(shared_app: RunningApp, shop: str) -> AsyncIterator[None]:
    """Another process is answering this very request, until the block ends, and well or not."""
    shop_id = (await shared_app.rows("SELECT id FROM shops WHERE domain = :d", d=shop))[0]["id"]
    request = Repeatable(route=f"POST {CATALOG}", key="k", body=BODY)
    async with shared_app.database.transaction() as connection:
        assert await claim_key(connection, request, shop_id=shop_id, answer=ANSWER)
        yield


async def test_a_repeat_during_a_long_first_request_gets_409(
    shared_app: RunningApp, shop: str
) -> None:
    with pytest.raises(Dies):
        async with claim_key_elsewhere(shared_app, shop):
            answer = await post_job(shared_app, shop, "k")
            assert refusal(answer) == (409, "REQUEST_IN_PROGRESS")
            assert answer.headers["retry-after"] == "1"
            assert is_first(await post_job(shared_app, shop, "another key")), (
                "nothing else has to wait"
            )
            raise Dies
    assert is_first(await post_job(shared_app, shop, "k")), "the first has died and left nothing"
    assert len(await stored_jobs(shared_app, shop)) == 2


async def test_a_repeat_waits_for_a_first_request_that_ends_soon(
    shared_app: RunningApp, shop: str
) -> None:
    async with claim_key_elsewhere(shared_app, shop):
        asking = asyncio.create_task(post_job(shared_app, shop, "k"))
        await wait_for_lock(shared_app)
    answer = await asking
    assert not is_first(answer)
    assert answer.json()["job_id"] == ANSWER.job_id
    assert await stored_jobs(shared_app, shop) == []


# Which request it is


async def test_a_key_is_scoped_to_one_shop_and_route(shared_app: RunningApp, shop: str) -> None:
    assert is_first(await post_job(shared_app, shop, "k"))
    assert is_first(await post_job(shared_app, shop, "k", PREVIEW_BODY, path=PREVIEW))
    assert is_first(await post_job(shared_app, OTHER_SHOP, "k"))
    assert not is_first(await post_job(shared_app, shop, "k"))
    assert len(await stored_jobs(shared_app, shop)) == 2


@pytest.mark.parametrize("secret", [SECRET, PREVIOUS_SECRET])
async def test_a_signed_request_replays_the_answer_to_a_session_token(
    shared_app: RunningApp, shop: str, secret: str
) -> None:
    first = await post_job(shared_app, shop, "k")
    url, signature = signed_request(
        secret.encode(),
        method="POST",
        url=f"{str(shared_app.http.base_url).rstrip('/')}{CATALOG}",
        shop=shop,
        body=BODY,
        now=int(time.time()),
    )
    headers = {
        "Content-Type": "application/json",
        "Idempotency-Key": "k",
        "X-Shopify-Hmac-Sha256": signature,
    }
    again = await shared_app.http.post(url, content=BODY, headers=headers)
    assert is_first(first) and not is_first(again)
    assert again.content == first.content
    assert again.headers["location"] == first.headers["location"]
    assert len(await stored_jobs(shared_app, shop)) == 1


async def test_the_replayed_answer_does_not_change_with_the_job(
    shared_app: RunningApp, shop: str
) -> None:
    first = await post_job(shared_app, shop, "k")
    cancel = f"{first.headers['location']}/cancel"
    assert (await shared_app.http.post(cancel, headers=shared_app.bearer(shop))).status_code == 202
    again = await post_job(shared_app, shop, "k")
    assert (again.status_code, again.content) == (202, first.content)
    assert again.headers["x-request-id"] != first.headers["x-request-id"]


@pytest.mark.parametrize("key", ["k" * 255, "!", "ключ".encode(), b"\xff\xfe"])
async def test_a_key_may_be_any_text_of_up_to_255_characters(
    shared_app: RunningApp, shop: str, key: str | bytes
) -> None:
    first = await post_job(shared_app, shop, key)
    assert is_first(first)
    assert (await post_job(shared_app, shop, key)).content == first.content
    assert len(await stored_jobs(shared_app, shop)) == 1


@pytest.mark.parametrize("key", ["k" * 256, ""])
async def test_an_invalid_key_is_refused_and_creates_nothing(
    shared_app: RunningApp, shop: str, key: str
) -> None:
    answer = await post_job(shared_app, shop, key)
    assert refusal(answer) == (422, "INVALID_REQUEST")
    assert await stored_jobs(shared_app, shop) == []


# Both or neither


@pytest.mark.parametrize(
    "body",
    [
        b'{"product_id": "nonsense"}',
        b"{}",
        json.dumps({"upload_key": "upl_" + "0" * 32}).encode(),
    ],
    ids=["a malformed field", "no photo", "an upload that is not there"],
)
async def test_a_rejected_request_does_not_use_up_its_key(
    shared_app: RunningApp, shop: str, body: bytes
) -> None:
    for _ in range(2):
        assert refusal(await post_job(shared_app, shop, "k", body)) == (422, "INVALID_REQUEST")
    assert await stored_keys(shared_app, shop) == []
    assert is_first(await post_job(shared_app, shop, "k"))


FAIL_AT = {
    "the job": "CREATE TRIGGER breaks BEFORE INSERT ON jobs FOR EACH ROW EXECUTE FUNCTION break()",
    "the commit": (
        "CREATE CONSTRAINT TRIGGER breaks AFTER INSERT ON jobs DEFERRABLE INITIALLY DEFERRED "
        "FOR EACH ROW EXECUTE FUNCTION break()"
    ),
}


@pytest.mark.parametrize("where", FAIL_AT)
async def test_a_failed_transaction_keeps_neither_key_nor_job(
    shared_app: RunningApp, shop: str, where: str
) -> None:
    await shared_app.execute(
        "CREATE FUNCTION break() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'broken'; END $$"
    )
    try:
        await shared_app.execute(FAIL_AT[where])
        assert refusal(await post_job(shared_app, shop, "k")) == (500, "INTERNAL_ERROR")
    finally:
        await shared_app.execute("DROP FUNCTION break() CASCADE")
    assert (await stored_keys(shared_app, shop), await stored_jobs(shared_app, shop)) == ([], [])
    assert is_first(await post_job(shared_app, shop, "k"))
    assert await stored_jobs(shared_app, shop) != []
