"""Locks are taken in one order, so that no two transactions of a shop wait for each other."""

import asyncio
import contextlib
from typing import Any

import pytest

from backend.credits.accounts import lock_account
from backend.failures.codes import CANCELLED, PRODUCT_NOT_FOUND
from backend.jobs.completion import end_unfinished
from backend.jobs.lifecycle import fail, lease_job, succeed
from backend.jobs.service import JobRef, request_job
from backend.leased_task import Fenced
from backend.settings import Quotas
from backend.workflows.catalog_image import CATALOG_IMAGE
from tests.backend.credits.ledger import (
    COSTS_10,
    balance,
    grant,
    id_of,
    made_job,
    post_job,
    visit,
)
from tests.running_app import RunningApp
from tests.scenarios import jobs_of, wait_for_lock
from tests.wait import wait_until

pytestmark = pytest.mark.usefixtures("same_day")


async def test_whoever_waits_for_the_account_has_no_new_row_yet(
    shared_app: RunningApp, shop: str
) -> None:
    await grant(shared_app, shop, 3)
    shop_id = await id_of(shared_app, shop)

    async def request(connection: Any, key: str) -> JobRef | None:
        return await request_job(
            connection,
            CATALOG_IMAGE,
            shop_id=shop_id,
            request={},
            origin="webhook",
            natural_key=key,
            quotas=Quotas(prepaid=True),
        )

    async def second() -> JobRef | None:
        async with shared_app.database.transaction(shop_id) as connection:
            return await request(connection, "both")

    async with shared_app.database.transaction(shop_id) as connection:
        await request(connection, "first")
        waiting = asyncio.create_task(second())
        await wait_for_lock(shared_app)
        assert await request(connection, "both") is not None
    assert await waiting is None
    assert await balance(shared_app, shop) == (1, 2)


async def test_a_visitors_job_can_end_while_another_is_made(
    shared_app: RunningApp, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await grant(shared_app, shop, 20)
    first = (await visit(shared_app, shop)).json()["job_id"]
    ref = JobRef(shop_id=await id_of(shared_app, shop), public_id=first)
    claimed = await lease_job(shared_app.database, ref)
    assert claimed is not None
    ends: list[asyncio.Task[None]] = []

    async def ended_meanwhile(*told: Any, **asked: Any) -> JobRef | None:
        made = await request_job(*told, **asked)  # has the account now
        ending = fail(shared_app.database, claimed, PRODUCT_NOT_FOUND, was_for_nothing=True)
        ends.append(asyncio.create_task(ending))
        await wait_for_lock(shared_app)
        return made

    monkeypatch.setattr("backend.jobs.storefront.request_job", ended_meanwhile)
    answer = await visit(shared_app, shop, product="gid://shopify/Product/2")
    assert answer.status_code == 202, answer.text
    await asyncio.gather(*ends)
    assert await balance(shared_app, shop) == (10, 10)


async def test_a_visitor_can_ask_again_while_the_job_ends(
    shared_app: RunningApp, shop: str
) -> None:
    await grant(shared_app, shop, 20)
    first = (await visit(shared_app, shop)).json()["job_id"]
    ref = JobRef(shop_id=await id_of(shared_app, shop), public_id=first)
    claimed = await lease_job(shared_app.database, ref)
    assert claimed is not None
    async with shared_app.database.transaction(ref.shop_id) as connection:
        await lock_account(connection, ref.shop_id)  # as while others make jobs
        again = asyncio.create_task(visit(shared_app, shop))
        await wait_until(lambda: is_waiting(shared_app, again, others=0))
        ending = asyncio.create_task(succeed(shared_app.database, claimed, {}))
        await wait_until(lambda: is_waiting(shared_app, again, others=1))
    answer = await again
    assert (answer.status_code, answer.json()["job_id"]) == (202, first), answer.text
    await ending
    assert await balance(shared_app, shop) == (10, 0)


async def is_waiting(shared_app: RunningApp, task: asyncio.Task[Any], *, others: int) -> bool:
    """Whether the task waits for a lock, or has ended, and so many others wait."""
    waits = "datname = current_database() AND wait_event_type = 'Lock'"
    rows = await shared_app.rows(f"SELECT count(*) AS n FROM pg_stat_activity WHERE {waits}")
    return task.done() + int(rows[0]["n"]) > others


@pytest.mark.slow
async def test_visitors_ask_for_the_same_while_their_jobs_fail(
    shared_app: RunningApp, shop: str
) -> None:
    await grant(shared_app, shop, 100_000)
    shop_id = await id_of(shared_app, shop)

    async def ask() -> None:
        answer = await visit(shared_app, shop)
        assert answer.status_code == 202, answer.text
        ref = JobRef(shop_id=shop_id, public_id=answer.json()["job_id"])
        with contextlib.suppress(Fenced):
            if claimed := await lease_job(shared_app.database, ref):
                await fail(shared_app.database, claimed, PRODUCT_NOT_FOUND, was_for_nothing=True)

    for _ in range(20):
        await asyncio.gather(*(ask() for _ in range(12)))
    assert await balance(shared_app, shop) == (100_000, 0)


@pytest.mark.slow
async def test_many_jobs_end_in_one_statement_while_others_are_made_and_end(
    shared_app: RunningApp, shop: str
) -> None:
    await grant(shared_app, shop, 400)
    refs = [await made_job(shared_app, shop) for _ in range(60)]

    async def end_and_make(ref: JobRef) -> None:
        await asyncio.gather(
            end_unless_ended(shared_app, ref), post_job(shared_app, shop, COSTS_10)
        )

    shop_id = await id_of(shared_app, shop)
    await asyncio.gather(
        *(end_and_make(ref) for ref in refs[:20]),
        *(end_unfinished(shared_app.database, shop_id, CANCELLED) for _ in range(3)),
    )
    await end_unfinished(shared_app.database, shop_id, CANCELLED)
    captured = [job for job in await jobs_of(shared_app, shop) if job["status"] == "SUCCESS"]
    assert await balance(shared_app, shop) == (400 - len(captured), 0)


async def end_unless_ended(shared_app: RunningApp, ref: JobRef) -> None:
    """A worker ends the job well, unless somebody else ends it first."""
    claimed = await lease_job(shared_app.database, ref)
    if claimed is not None:
        with contextlib.suppress(Fenced):
            await succeed(shared_app.database, claimed, {})
