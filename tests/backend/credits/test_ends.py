"""However a job ends, and whoever ends it: its price is captured with SUCCESS, else released."""

from collections.abc import Awaitable, Callable

import pytest

from backend.batches.execution import run_expansion
from backend.failures.images import IMAGE_CORRUPT
from backend.jobs.erasure import erase_jobs
from backend.jobs.lifecycle import lease_job
from backend.jobs.service import JobRef
from tests.backend.batches.scenarios import create_batch, post_batch_action, product_gids
from tests.backend.credits.ledger import balance, charged, end_job, entries, grant, made_job
from tests.running_app import RunningApp
from tests.scenarios import jobs_of, process_webhook

End = Callable[[RunningApp, str, JobRef], Awaitable[None]]


async def by_a_worker(shared_app: RunningApp, _shop: str, _ref: JobRef) -> None:
    """It runs all stages."""
    await shared_app.drain()


async def by_a_failure(shared_app: RunningApp, _shop: str, ref: JobRef) -> None:
    """Its photo is broken."""
    await end_job(shared_app, ref, IMAGE_CORRUPT)


async def by_a_cancel(shared_app: RunningApp, shop: str, ref: JobRef) -> None:
    """The merchant wants it no more."""
    path = f"/v1/jobs/{ref.public_id}/cancel"
    assert (await shared_app.http.post(path, headers=shared_app.bearer(shop))).is_success


async def by_crashes(shared_app: RunningApp, _shop: str, ref: JobRef) -> None:
    """Its workers die, until it is poison."""
    while await lease_job(shared_app.database, ref) is not None:
        pass


async def by_an_uninstall(shared_app: RunningApp, shop: str, _ref: JobRef) -> None:
    """The merchant removes the app."""
    shared_app.shopify.uninstall(shop)
    assert (await process_webhook(shared_app, "app/uninstalled", shop=shop))[0] == "processed"


async def by_an_older_process(shared_app: RunningApp, _shop: str, ref: JobRef) -> None:
    """Its statement knows of no credits."""
    await shared_app.execute(
        "UPDATE jobs SET status = 'FAILURE', finished_at = now(), last_seq = last_seq + 1 "
        "WHERE public_id = :id",
        id=ref.public_id,
    )


ENDS: dict[End, str] = {
    by_a_worker: "captured",
    by_a_failure: "released",
    by_a_cancel: "released",
    by_crashes: "released",
    by_an_uninstall: "released",
    by_an_older_process: "released",
}


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__)
async def test_the_price_ends_with_the_job(shared_app: RunningApp, shop: str, end: End) -> None:
    await grant(shared_app, shop, 3)
    ref = await made_job(shared_app, shop, product=shared_app.product(shop=shop).gid)
    await end(shared_app, shop, ref)
    (job,) = await jobs_of(shared_app, shop)
    assert job["credit_state"] == ENDS[end]
    is_captured = ENDS[end] == "captured"
    assert await balance(shared_app, shop) == (2 if is_captured else 3, 0)
    settled = ("capture", 0, -1) if is_captured else ("release", 1, -1)
    assert (await entries(shared_app, shop))[1:] == [("hold", -1, 1), settled]
    if end is not by_an_older_process:
        assert await charged(shared_app, ref) == int(is_captured)


async def test_an_erased_job_gives_its_price_back(shared_app: RunningApp, shop: str) -> None:
    await grant(shared_app, shop, 1)
    ref = await made_job(shared_app, shop)
    await erase_jobs(shared_app.database, shared_app.worker_context.store, ref.shop_id)
    assert await jobs_of(shared_app, shop) == []
    assert await balance(shared_app, shop) == (1, 0)


async def test_a_cancelled_batch_gives_back_what_it_has_not_spent(
    shared_app: RunningApp, shop: str
) -> None:
    await grant(shared_app, shop, 4)
    ref = await create_batch(shared_app, shop, {"product_ids": product_gids(3)})
    await run_expansion(ref, shared_app.worker_context.batch_context)
    assert await balance(shared_app, shop) == (1, 3)
    first = (await jobs_of(shared_app, shop))[0]["public_id"]
    await end_job(shared_app, JobRef(shop_id=ref.shop_id, public_id=first))
    assert (await post_batch_action(shared_app, shop, ref, "cancel")).is_success
    assert await balance(shared_app, shop) == (3, 0)
    assert [kind for kind, *_ in await entries(shared_app, shop)] == (
        ["grant"] + ["hold"] * 3 + ["capture"] + ["release"] * 2
    )


@pytest.mark.parametrize(
    "broken",
    [
        "credit_state = 'captured'",
        "status = 'SUCCESS', credit_state = 'released'",
        "status = 'FAILURE', credit_state = 'captured'",
    ],
)
async def test_the_state_of_the_price_fits_that_of_the_job(
    shared_app: RunningApp, shop: str, broken: str
) -> None:
    await shared_app.execute(
        "INSERT INTO jobs (shop_id, public_id, job_type, origin, request) "
        "SELECT id, 'free-' || id, 'x', 'api', '{}' FROM shops WHERE domain = :d",
        d=shop,
    )
    with pytest.raises(Exception, match="ck_jobs_values"):
        await shared_app.execute(
            f"UPDATE jobs SET {broken} FROM shops s WHERE s.id = shop_id AND s.domain = :d", d=shop
        )
