"""`/proxy/v1/*`: what storefront visitors may start and see."""

import asyncio
import contextlib
import itertools
import random
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any
from unittest.mock import ANY

import httpx
import msgspec
import pytest
from msgspec.structs import replace

from backend.dev import signing
from backend.failures.registry import Failure
from backend.jobs.lifecycle import fail, lease_job
from backend.jobs.service import JobRef, request_job
from backend.worker.maintenance import prune
from backend.workflows import WORKFLOWS
from backend.workflows.registry import Workflow
from tests.conftest import SECRET, settings_for
from tests.running_app import OTHER_SHOP, SHOP, RunningApp, cloned_database, open_running_app
from tests.scenarios import (
    fingerprint,
    finished_job,
    new_shop,
    open_shared_app,
    refusal,
)

pytestmark = pytest.mark.usefixtures("same_day")

shared_app = pytest.fixture(open_shared_app, scope="module")

PRODUCT = "gid://shopify/Product/8000000000001"
ANNA, BERT = "7000000000001", "7000000000002"
NOT_FOUND = (404, "JOB_NOT_FOUND")
DRESS = {"product_id": PRODUCT, "category": "dress"}


async def request_as_visitor(
    shared_app: RunningApp,
    path: str,
    *,
    shop: str = SHOP,
    customer: str = "",
    method: str = "GET",
    age: int = 0,
    secret: str = SECRET,
    params: dict[str, str] | None = None,
    address: str | None = None,
    headers: dict[str, str] | None = None,
    **sent: Any,
) -> httpx.Response:
    """A request as the proxy forwards it, with a fresh signature; by default of a new visitor."""
    query = signing.app_proxy_query(
        {
            "shop": shop,
            "path_prefix": "/apps/atelier",
            "timestamp": str(int(time.time()) - age),
            "logged_in_customer_id": customer,
            **(params or {}),
        },
        secret,
    )
    forwarded = new_address() if address is None else address
    return await shared_app.http.request(
        method,
        f"/proxy/v1{path}?{query}",
        headers={"X-Forwarded-For": forwarded, **(headers or {})},
        **sent,
    )


def new_address() -> str:
    """Of somebody who has not been here."""
    return f"81.{random.randrange(256)}.{random.randrange(256)}.{random.randrange(1, 255)}"


async def post_preview(shared_app: RunningApp, body: Any = None, **how: Any) -> httpx.Response:
    """Ask for a preview of a product on a mannequin."""
    return await request_as_visitor(
        shared_app, "/product-to-model-direct", method="POST", json=body or DRESS, **how
    )


async def start_preview(shared_app: RunningApp, body: Any = None, **how: Any) -> str:
    """The id of the job that the visitor gets."""
    answer = await post_preview(shared_app, body, **how)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["job_id"])


def product(number: int) -> dict[str, str]:
    """A question that no other test asks."""
    return {**DRESS, "product_id": f"gid://shopify/Product/{number}"}


# Making


async def test_a_visitor_starts_a_job_and_follows_it(shared_app: RunningApp) -> None:
    answer = await post_preview(shared_app, product(1))
    made = answer.json()
    assert (answer.status_code, made["status"], made["credits_cost"]) == (202, "NOT_STARTED", 10)
    job = await request_as_visitor(shared_app, f"/jobs/{made['job_id']}")
    assert job.json()["request"]["product_id"] == "gid://shopify/Product/1"
    assert job.headers["cache-control"] == "private, no-store"
    assert "etag" not in job.headers and job.headers["retry-after"] == "1"
    events = await request_as_visitor(
        shared_app, f"/jobs/{made['job_id']}/events", params={"since": "0"}
    )
    assert [event["event_type"] for event in events.json()["events"]] == ["queued"]
    later = await request_as_visitor(
        shared_app, f"/jobs/{made['job_id']}/events", params={"since": "1"}
    )
    assert later.json() == {"public_id": made["job_id"], "events": [], "latest_seq": 1}


async def test_the_same_storefront_request_returns_the_same_job(shared_app: RunningApp) -> None:
    first = await start_preview(shared_app, product(2))
    assert await start_preview(shared_app, product(2)) == first
    assert await start_preview(shared_app, {**product(2), "body": "female"}) == first  # the default
    assert await start_preview(shared_app, {**product(2), "body": "male"}) != first
    assert await start_preview(shared_app, product(3)) != first


async def test_a_repeated_storefront_request_returns_the_current_status(
    shared_app: RunningApp,
) -> None:
    first = await start_preview(shared_app, product(4))
    await shared_app.execute(
        "UPDATE jobs SET status = 'IN_PROGRESS' WHERE public_id = :id", id=first
    )
    assert (await post_preview(shared_app, product(4))).json()["status"] == "IN_PROGRESS"


async def test_a_job_keeps_its_price_when_the_workflows_changes(shared_app: RunningApp) -> None:
    first = (await post_preview(shared_app, product(40))).json()
    with dearer(WORKFLOWS["PRODUCT_TO_MODEL_DIRECT"], 99):
        assert (await post_preview(shared_app, product(40))).json() == {
            **first,
            "request_id": ANY,
            "credits_cost": 10,
        }
        assert (await post_preview(shared_app, product(41))).json()["credits_cost"] == 99
    assert (await post_preview(shared_app, product(41))).json()["credits_cost"] == 99


async def test_a_job_from_before_prices_were_kept_costs_what_its_workflow_does(
    shared_app: RunningApp,
) -> None:
    public_id = await start_preview(shared_app, product(42))
    await shared_app.execute(
        "UPDATE jobs SET credits_cost = NULL WHERE public_id = :id", id=public_id
    )
    assert (await post_preview(shared_app, product(42))).json()["credits_cost"] == 10


@contextlib.contextmanager
def dearer(workflow: Workflow, price: int) -> Iterator[None]:
    """The workflow at another price, for a while."""
    before = workflow.credits_cost
    msgspec.structs.force_setattr(workflow, "credits_cost", price)
    try:
        yield
    finally:
        msgspec.structs.force_setattr(workflow, "credits_cost", before)


async def test_a_storefront_request_is_retried_after_its_job_failed(shared_app: RunningApp) -> None:
    first = await start_preview(shared_app, product(5))
    rows = await shared_app.rows("SELECT shop_id FROM jobs WHERE public_id = :id", id=first)
    ref = JobRef(shop_id=rows[0]["shop_id"], public_id=first)
    async with shared_app.database.transaction() as connection:
        claimed = await lease_job(connection, ref)
        assert claimed is not None
        await fail(connection, claimed, Failure(code="NO_IMAGE", message="No image"))
    second = await start_preview(shared_app, product(5))
    assert second != first
    assert await start_preview(shared_app, product(5)) == second
    assert (await request_as_visitor(shared_app, f"/jobs/{first}")).json()["status"] == "FAILURE"


@pytest.mark.parametrize(
    "body",
    [
        {"category": "dress", "upload_key": "upl_" + "0" * 32},
        {"category": "dress", "media_id": "gid://shopify/MediaImage/1"},
        {**DRESS, "customer_id": ANNA},
        {**DRESS, "shop": OTHER_SHOP},
        {**DRESS, "outputs": [{"size": 512, "format": "webp"}] * 2},
    ],
)
async def test_a_visitor_may_name_only_a_product(shared_app: RunningApp, body: Any) -> None:
    assert refusal(await post_preview(shared_app, body)) == (422, "INVALID_REQUEST")


@pytest.mark.parametrize("name", ["catalog-image", "background-swap-with-image", "uploads"])
async def test_only_storefront_workflows_are_exposed_to_visitors(
    shared_app: RunningApp, name: str
) -> None:
    assert refusal(await request_as_visitor(shared_app, f"/{name}", method="POST", json=DRESS)) == (
        404,
        "NOT_FOUND",
    )


async def test_the_daily_cap_is_exact_and_per_shop(services, template, renderer) -> None:
    async with cloned_database(services.postgres.url(), template) as url:
        settings = replace(settings_for(services, url), storefront_daily_cap=3)
        async with open_running_app(settings, renderer) as running_app:
            await running_app.install()
            await running_app.install(OTHER_SHOP)
            for number in range(3):
                await start_preview(running_app, product(number), customer=ANNA)
                await start_preview(running_app, product(number), customer=ANNA)  # costs nothing
            refused = await post_preview(running_app, product(9))
            assert refusal(refused) == (429, "DAILY_CAP_REACHED")
            assert 1 <= int(refused.headers["retry-after"]) <= 86_461
            assert len(await running_app.rows("SELECT 1 FROM jobs")) == 3
            assert len(await running_app.rows("SELECT 1 FROM queue.pgqueuer")) == 3
            await start_preview(running_app, product(9), shop=OTHER_SHOP)
            await running_app.execute("UPDATE daily_counts SET day = day - 1")
            await start_preview(running_app, product(9))


async def test_the_daily_cap_holds_for_concurrent_visitors(services, template, renderer) -> None:
    async with cloned_database(services.postgres.url(), template) as url:
        settings = replace(settings_for(services, url), storefront_daily_cap=3)
        async with open_running_app(settings, renderer) as running_app:
            await running_app.install()
            crowd = await asyncio.gather(
                *(post_preview(running_app, product(number)) for number in range(8))
            )
            assert sorted(answer.status_code for answer in crowd) == [202] * 3 + [429] * 5
            assert len(await running_app.rows("SELECT 1 FROM jobs")) == 3


@contextlib.asynccontextmanager
async def capped(
    services, template, renderer, *, shop: int, visitor: int
) -> AsyncIterator[RunningApp]:
    """A running app with these daily storefront caps."""
    async with cloned_database(services.postgres.url(), template) as url:
        settings = replace(
            settings_for(services, url),
            storefront_daily_cap=shop,
            storefront_visitor_daily_cap=visitor,
        )
        async with open_running_app(settings, renderer) as running_app:
            await running_app.install()
            yield running_app


async def test_one_visitor_has_a_share_and_a_quarter_is_kept_for_customers(
    services, template, renderer
) -> None:
    async with capped(services, template, renderer, shop=8, visitor=2) as running_app:
        numbers = itertools.count()

        async def asks(**who: str) -> tuple[int, str] | int:
            answer = await post_preview(running_app, product(next(numbers)), **who)
            return refusal(answer) if answer.is_error else answer.status_code

        own = (429, "VISITOR_CAP_REACHED")
        for visitor in ("81.2.3.4", "2a00:1450:4001:800::1", ""):
            answers = [await asks(address=visitor) for _ in range(3)]
            assert answers == [202, 202, own], visitor
        assert await asks(address="1.1.1.1, 81.2.3.4, 10.0.0.1") == own, "only the last counts"
        assert await asks(address="2a00:1450:4001:800:ffff::2") == own, "the same network"
        assert await asks(address="81.2.3.5") == (429, "DAILY_CAP_REACHED"), "for anybody"
        answers = [await asks(customer=ANNA, address="81.2.3.5") for _ in range(3)]
        assert answers == [202, 202, own]
        assert await asks(customer=BERT) == (429, "DAILY_CAP_REACHED")
        counted = await running_app.rows(
            "SELECT what FROM daily_counts WHERE what LIKE '%visitor%'"
        )
        assert len(counted) == 4, "what is refused counts nothing"
        assert all(len(row["what"]) == len("storefront_visitor:") + 5 for row in counted)
        await running_app.execute("UPDATE daily_counts SET day = day - 1")
        await prune(running_app.database)
        left = await running_app.rows("SELECT what, amount FROM daily_counts")
        assert left == [{"what": "storefront_jobs", "amount": 8}]


async def test_a_missing_product_refunds_the_shops_cap_but_not_the_visitors(
    services, template, renderer
) -> None:
    async with capped(services, template, renderer, shop=3, visitor=2) as running_app:
        hidden = running_app.product()
        running_app.shopify.unpublish_product(hidden)
        asked = [{**DRESS, "product_id": hidden.gid}, product(1)]
        for body in asked:
            await start_preview(running_app, body, address="81.2.3.4")
        await running_app.drain()
        failed = await running_app.rows("SELECT status FROM jobs")
        assert [row["status"] for row in failed] == ["FAILURE"] * 2
        counted = await running_app.rows("SELECT amount FROM daily_counts ORDER BY what")
        assert [row["amount"] for row in counted] == [0, 2]
        again = await post_preview(running_app, product(1), address="81.2.3.4")
        assert refusal(again) == (429, "VISITOR_CAP_REACHED")


async def test_other_failures_still_count_against_the_daily_cap(
    shared_app: RunningApp,
) -> None:
    shop = await new_shop(shared_app)
    job = await start_preview(shared_app, product(8), shop=shop)
    rows = await shared_app.rows("SELECT shop_id FROM jobs WHERE public_id = :id", id=job)
    ref = JobRef(shop_id=rows[0]["shop_id"], public_id=job)
    claimed = await lease_job(shared_app.database, ref)
    assert claimed is not None
    await fail(shared_app.database, claimed, Failure(code="IMAGE_CORRUPT", message="No image"))
    counted = "SELECT amount FROM daily_counts WHERE shop_id = :s AND what = 'storefront_jobs'"
    assert await shared_app.rows(counted, s=ref.shop_id) == [{"amount": 1}]


async def test_concurrent_identical_storefront_requests_create_one_job(
    shared_app: RunningApp,
) -> None:
    crowd = await asyncio.gather(*(post_preview(shared_app, product(6)) for _ in range(8)))
    assert len({answer.json()["job_id"] for answer in crowd}) == 1


async def test_a_job_erased_during_a_duplicate_check_is_created_again(
    shared_app: RunningApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns = itertools.count()

    async def erased_first(*told: Any, **asked: Any) -> JobRef | None:
        if next(turns) == 0:  # there was one with this key, and now it has gone
            return None
        return await request_job(*told, **asked)

    monkeypatch.setattr("backend.jobs.storefront.request_job", erased_first)
    job = await start_preview(shared_app, product(7))
    assert (await request_as_visitor(shared_app, f"/jobs/{job}")).status_code == 200


async def test_a_daily_cap_of_zero_allows_no_jobs(services, template, renderer) -> None:
    async with cloned_database(services.postgres.url(), template) as url:
        settings = replace(settings_for(services, url), storefront_daily_cap=0)
        async with open_running_app(settings, renderer) as running_app:
            await running_app.install()
            assert refusal(await post_preview(running_app)) == (429, "DAILY_CAP_REACHED")


# Seeing


async def test_a_customers_job_is_visible_to_that_customer_only(shared_app: RunningApp) -> None:
    hers = await start_preview(shared_app, product(20), customer=ANNA)
    for path in (f"/jobs/{hers}", f"/jobs/{hers}/events"):
        assert (await request_as_visitor(shared_app, path, customer=ANNA)).status_code == 200
        for other in (BERT, ""):
            assert refusal(await request_as_visitor(shared_app, path, customer=other)) == NOT_FOUND
    assert await start_preview(shared_app, product(20), customer=BERT) != hers
    assert await start_preview(shared_app, product(20)) != hers


async def test_anonymous_jobs_are_visible_to_all_visitors(
    shared_app: RunningApp,
) -> None:
    job = await start_preview(shared_app, product(21))
    for customer in ("", ANNA):
        assert (
            await request_as_visitor(shared_app, f"/jobs/{job}", customer=customer)
        ).status_code == 200


async def test_visitors_cannot_see_merchants_or_other_shops_jobs(shared_app: RunningApp) -> None:
    await shared_app.install(OTHER_SHOP)
    merchants, _ = await finished_job(shared_app)
    theirs = await start_preview(shared_app, product(22), shop=OTHER_SHOP)
    missing = "01M84MKYNDD4W0WRXSGHV592BC"
    answers = [
        await request_as_visitor(
            shared_app, f"/jobs/{job}", headers={"X-Request-Id": "the-same-id"}
        )
        for job in (merchants.public_id, theirs, missing, "x")
    ]
    assert {refusal(answer) for answer in answers} == {NOT_FOUND}
    assert len({answer.content for answer in answers}) == 1


async def test_merchants_see_visitors_jobs(shared_app: RunningApp) -> None:
    job = await start_preview(shared_app, product(23), customer=ANNA)
    assert (await shared_app.detail(job)).status_code == 200


# Authentication


async def test_storefront_routes_require_a_fresh_app_proxy_signature(
    shared_app: RunningApp,
) -> None:
    job = await start_preview(shared_app, product(30))
    path = f"/jobs/{job}"
    refused = (401, "UNAUTHENTICATED")
    assert refusal(await shared_app.http.get(f"/proxy/v1{path}")) == refused
    assert refusal(await shared_app.http.get(f"/proxy/v1{path}?shop={SHOP}")) == refused
    assert refusal(await request_as_visitor(shared_app, path, secret="wrong")) == refused
    for age in (100, -100):
        assert refusal(await request_as_visitor(shared_app, path, age=age)) == refused
    assert refusal(await shared_app.http.get(f"/proxy/v1{path}", headers=shared_app.bearer())) == (
        400,
        "AMBIGUOUS_CREDENTIALS",
    )
    both = await request_as_visitor(shared_app, path, headers=shared_app.bearer())
    assert refusal(both) == (400, "AMBIGUOUS_CREDENTIALS")


PREVIEW = {
    **{"preview_theme_id": "133598314681", "_ab": "0", "_fd": "0", "_sc": "1", "pb": "0"},
    **{"key": "6ff4e66a2f6b0b0e", "preview_key": "08d5", "design_mode": "", "oseid": "Qq-4_x"},
}


async def test_a_request_in_a_theme_preview_is_accepted(shared_app: RunningApp) -> None:
    job = await start_preview(shared_app, product(35))
    seen = await request_as_visitor(shared_app, f"/jobs/{job}", params=PREVIEW)
    assert seen.status_code == 200, seen.text
    events = f"/jobs/{job}/events"
    seen = await request_as_visitor(shared_app, events, params=PREVIEW | {"since": "0"})
    assert seen.status_code == 200, seen.text


async def test_an_unknown_parameter_is_named_once_the_signature_is_verified(
    shared_app: RunningApp,
) -> None:
    job = await start_preview(shared_app, product(36))
    for path, name in ((f"/jobs/{job}", "since"), (f"/jobs/{job}/events", "utm_source")):
        answer = await request_as_visitor(shared_app, path, params={name: "0"})
        assert refusal(answer) == (400, "BAD_REQUEST")
        assert repr(name) in answer.json()["error"]["message"]
        unsigned = await request_as_visitor(shared_app, path, params={name: "0"}, secret="wrong")
        assert refusal(unsigned) == (401, "UNAUTHENTICATED")
        stale = await request_as_visitor(shared_app, path, params={name: "0"}, age=100)
        assert refusal(stale) == (401, "UNAUTHENTICATED")
    strange = await request_as_visitor(shared_app, f"/jobs/{job}", params={"pb": "0 or 1"})
    assert refusal(strange) == (400, "BAD_REQUEST")
    long = await request_as_visitor(shared_app, f"/jobs/{job}", params={"x\n" * 900: "0"})
    assert refusal(long) == (400, "BAD_REQUEST")
    assert len(long.text) < 400


async def test_an_app_proxy_query_does_not_open_merchant_routes(shared_app: RunningApp) -> None:
    job = await start_preview(shared_app, product(31))
    query = signing.app_proxy_query(
        {"shop": SHOP, "timestamp": str(int(time.time())), "logged_in_customer_id": ""}, SECRET
    )
    assert refusal(await shared_app.http.get(f"/v1/jobs/{job}?{query}")) == (401, "UNAUTHENTICATED")


async def test_an_invalid_since_is_reported_by_name(shared_app: RunningApp) -> None:
    job = await start_preview(shared_app, product(32))
    answer = await request_as_visitor(shared_app, f"/jobs/{job}/events", params={"since": "-1"})
    assert refusal(answer) == (422, "INVALID_REQUEST")


async def test_an_uninstalled_shop_has_no_storefront(shared_app: RunningApp) -> None:
    gone = "gone.myshopify.com"
    await shared_app.install(gone)
    job = await start_preview(shared_app, product(33), shop=gone)
    await shared_app.execute("UPDATE shops SET status = 'uninstalled' WHERE domain = :d", d=gone)
    left = (401, "SHOP_NOT_INSTALLED")
    assert refusal(await request_as_visitor(shared_app, f"/jobs/{job}", shop=gone)) == left
    assert refusal(await post_preview(shared_app, product(34), shop=gone)) == left


async def test_storefront_responses_are_never_cached_or_rendered_as_liquid(
    shared_app: RunningApp,
) -> None:
    hostile = {**DRESS, "category": "{{ shop.metafields }}"}
    answers = [
        await post_preview(shared_app, hostile),
        await post_preview(shared_app, product(35)),
        await request_as_visitor(shared_app, "/jobs/{{ x }}"),
        await shared_app.http.get("/proxy/v1/jobs/x"),
        await shared_app.http.get("/proxy/v1/{{ x }}"),
    ]
    for answer in answers:
        assert answer.headers["content-type"] == "application/json"
        assert "no-store" in answer.headers["cache-control"]
        assert "{{" not in answer.text


async def test_refused_storefront_requests_store_nothing(shared_app: RunningApp) -> None:
    before = await fingerprint(shared_app)
    await post_preview(shared_app, {"product_id": "x"})
    await post_preview(shared_app, secret="wrong")
    assert await fingerprint(shared_app) == before
