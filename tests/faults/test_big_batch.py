"""A batch of ten thousand that Postgres has no statistics of yet, for it has just been made."""

import time

import pytest

from backend.jobs.service import request_jobs
from backend.workflows.catalog_image import CATALOG_IMAGE
from tests.backend.batches.scenarios import counts, expanded_batch, post_batch_action, product_gids
from tests.faults.conftest import Measured
from tests.running_app import SHOP, RunningApp

JOBS = 10_000


@pytest.mark.timeout(300)
@pytest.mark.promise(
    "P21", "ten thousand fresh jobs are cancelled, and taken up again", wanted="202, 202"
)
async def test_a_batch_of_ten_thousand_is_cancelled_and_retried(
    running_app: RunningApp, record_promise: Measured
) -> None:
    """No statement comes near the three seconds that a web process lets it have."""
    await running_app.install()
    ref = await expanded_batch(running_app, SHOP, {"product_ids": product_gids(1)})
    async with running_app.database.transaction(ref.shop_id) as connection:
        jobs = await request_jobs(
            connection,
            CATALOG_IMAGE,
            shop_id=ref.shop_id,
            requests=[{"product_id": gid} for gid in product_gids(JOBS - 1, start=2)],
            origin="api",
        )
    await running_app.execute(
        "INSERT INTO batch_items (shop_id, batch_id, ordinal, product_id, job_id) "
        "SELECT :shop, :batch, 1 + n, 'gid://shopify/Product/' || 1 + n, job "
        "FROM unnest(CAST(:jobs AS text[])) WITH ORDINALITY AS made(job, n)",
        shop=ref.shop_id,
        batch=ref.public_id,
        jobs=[job.public_id for job in jobs],
    )
    answers = []
    for verb, state in (("cancel", (0, 0, 0, JOBS)), ("retry", (JOBS, 0, 0, 0))):
        started = time.monotonic()
        status = (await post_batch_action(running_app, SHOP, ref, verb)).status_code
        answers.append((status, f"{status} in {time.monotonic() - started:.1f} s"))
        assert (await counts(running_app, SHOP, ref))[1:] == state
    record_promise(
        "P21",
        ", ".join(words for _, words in answers),
        [status for status, _ in answers] == [202, 202],
    )
