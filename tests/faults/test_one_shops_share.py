"""One shop's many or slow requests do not block other shops."""

import asyncio
import time
from collections import Counter
from statistics import median
from typing import Any

import pytest

from backend.batches import queries
from backend.db import Database
from tests.faults.conftest import Measured
from tests.running_app import SHOP, RunningApp
from tests.scenarios import new_shop

BATCHES, PRODUCTS = 20, 10_000
SLICE = 1_000  # products of each batch in one statement of the filling
CLIENTS = 16
SECONDS = 6.0
LISTED = 1.0  # seconds for the list of twenty batches
COUNTED = 0.05  # seconds for the counts of one
SERVED = 2.0  # seconds for another shop's POST, on cores that are busy counting
JOB = {"product_id": "gid://shopify/Product/1"}

# Halfway: every second job of each batch has ended, and Postgres has no statistics of any. The rows
# lie as they do when all are expanded at once: two hundred of one batch, two hundred of the next.
FILL = """
INSERT INTO batches (shop_id, public_id, job_type, parameters, is_read, expansion, ended_at)
SELECT s.id, to_char(b, 'FM00000000000000000000000000'), 'CATALOG_IMAGE', '{}', true, 'EXPANDED',
       now()
FROM shops s, generate_series(1, :batches) b WHERE s.domain = :shop;
"""
JOBS = """
INSERT INTO jobs (shop_id, public_id, job_type, origin, request, last_seq, batch_id, status,
                  finished_at)
SELECT b.shop_id, md5(b.public_id || n), 'CATALOG_IMAGE', 'api',
       jsonb_build_object('product_id', 'gid://shopify/Product/' || n), 1, b.public_id,
       CASE WHEN n % 2 = 0 THEN 'SUCCESS' ELSE 'NOT_STARTED' END,
       CASE WHEN n % 2 = 0 THEN now() END
FROM batches b, generate_series(CAST(:first AS int), CAST(:last AS int)) n
ORDER BY n / 200, b.public_id, n
"""
ITEMS = """
INSERT INTO batch_items (shop_id, batch_id, ordinal, product_id, job_id)
SELECT b.shop_id, b.public_id, n, 'gid://shopify/Product/' || n, md5(b.public_id || n)
FROM batches b, generate_series(CAST(:first AS int), CAST(:last AS int)) n
ORDER BY n / 200, b.public_id, n
"""


async def filled(running_app: RunningApp) -> None:
    """Twenty batches of ten thousand products each, half of whose jobs are still to be done."""
    await running_app.install()
    await running_app.execute(FILL, batches=BATCHES, shop=SHOP)
    for first in range(1, PRODUCTS, SLICE):
        for table in (JOBS, ITEMS):
            await running_app.execute(table, first=first, last=first + SLICE - 1)


@pytest.mark.timeout(300)
@pytest.mark.promise(
    "P21", "twenty running batches of ten thousand are listed", wanted=f"{LISTED} s"
)
@pytest.mark.promise("P20", "the counts of one of them", wanted=f"{COUNTED * 1000:.0f} ms")
@pytest.mark.promise(
    "P19", "another shop's POSTs beside many that ask for the list", wanted=f"202, {SERVED} s"
)
async def test_listing_large_batches_does_not_block_another_shop(
    running_app: RunningApp, record_promise: Measured
) -> None:
    await filled(running_app)
    other = await new_shop(running_app)
    lists = [await timed(running_app, "GET", "/v1/batches", SHOP) for _ in range(5)]
    assert {status for status, _ in lists} == {200}
    usual, slowest = median(took for _, took in lists), max(took for _, took in lists)
    record_promise("P21", f"median {usual:.2f} s, at most {slowest:.2f} s", usual < LISTED)
    usual = median(
        [await counting(running_app, f"{number:026d}") for number in range(1, BATCHES + 1)]
    )
    record_promise("P20", f"median {usual * 1000:.0f} ms", usual < COUNTED)

    listed: Counter[int] = Counter()
    posted = await beside(running_app, other, "GET", "/v1/batches", listed)
    record_promise("P19", told(posted, listed), is_served(posted))


@pytest.mark.timeout(120)
@pytest.mark.promise(
    "P19", "another shop's POSTs beside many that wait for a lock", wanted=f"202, {SERVED} s"
)
async def test_waiting_for_a_lock_does_not_block_another_shop(
    running_app: RunningApp, record_promise: Measured
) -> None:
    await running_app.install()
    other = await new_shop(running_app)
    body: dict[str, Any] = {"rules": []}
    headers = running_app.bearer()
    assert (
        await running_app.http.put("/v1/settings", json=body, headers=headers)
    ).status_code == 200
    answers: Counter[int] = Counter()
    async with running_app.owner.transaction() as connection:  # nobody can write settings
        await connection.exec_driver_sql("LOCK shop_settings IN SHARE MODE")
        posted = await beside(running_app, other, "PUT", "/v1/settings", answers, json=body)
    assert set(answers) == {503}
    record_promise("P19", told(posted, answers), is_served(posted))


async def beside(
    running_app: RunningApp, other: str, method: str, path: str, answers: Counter[int], **sent: Any
) -> list[tuple[int, float]]:
    """What the other shop's POSTs are answered while many clients of the first ask for that."""
    until = time.monotonic() + SECONDS

    async def client() -> None:
        while time.monotonic() < until:
            answers[(await timed(running_app, method, path, SHOP, **sent))[0]] += 1

    crowd = [asyncio.create_task(client()) for _ in range(CLIENTS)]
    await asyncio.sleep(0.5)
    posted = [await timed(running_app, "POST", "/v1/catalog-image", other, json=JOB)]
    while time.monotonic() < until:
        posted.append(await timed(running_app, "POST", "/v1/catalog-image", other, json=JOB))
        await asyncio.sleep(0.1)
    await asyncio.gather(*crowd)
    return posted


async def counting(running_app: RunningApp, public_id: str) -> float:
    """How many seconds a web process' statement takes that reads and counts that batch."""
    database = Database(running_app.settings.database_url)
    async with database.reading(SHOP) as connection:
        for _ in range(2):  # the first time it is also planned
            started = time.monotonic()
            await connection.execute(queries.one(SHOP, public_id))
            took = time.monotonic() - started
    await database.close()
    return took


async def timed(
    running_app: RunningApp, method: str, path: str, shop: str, **sent: Any
) -> tuple[int, float]:
    """The status of an answer, and how many seconds it took."""
    headers = running_app.bearer(shop)
    started = time.monotonic()
    answer = await running_app.http.request(method, path, headers=headers, **sent)
    return answer.status_code, time.monotonic() - started


def told(posted: list[tuple[int, float]], answers: Counter[int]) -> str:
    """The figures."""
    times = sorted(took for _, took in posted)
    return (
        f"{dict(Counter(status for status, _ in posted))} in at most {times[-1]:.2f} s "
        f"(median {median(times):.3f} s), beside {CLIENTS} clients with {dict(answers)}"
    )


def is_served(posted: list[tuple[int, float]]) -> bool:
    """Whether each was accepted, and soon."""
    return all(status == 202 and took < SERVED for status, took in posted)
