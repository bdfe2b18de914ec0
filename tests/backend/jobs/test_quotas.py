"""What a shop may have at once, and what it is told when it has as much; other shops do not notice.

Each test has a shop of its own, and the whole module one world with small quotas.
"""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from backend.batches.running import ROOM_DELAY, run_expansion
from backend.settings import Quotas
from backend.shops.service import ShopRef
from backend.worker.bucket_sweep import sweep_bucket
from backend.worker.product_sweep import sweep_products
from tests.backend.batches.studio import act, counts, end_jobs, gids, made, post, ref_of
from tests.backend.uploads.sending import send, shop_id_of, uploaded
from tests.conftest import settings_for
from tests.doors import handled, new_shop, refusal
from tests.world import World, cloned_database, open_world

OPEN_JOBS, OPEN_BATCHES = 10, 2
JOBS_FULL = (429, "TOO_MANY_OPEN_JOBS")
BATCHES_FULL = (429, "TOO_MANY_OPEN_BATCHES")
STORE_FULL = (429, "STORAGE_QUOTA_REACHED")
BODY = {"product_id": "gid://shopify/Product/1"}


@pytest.fixture(scope="module")
async def house(services, template, renderer) -> AsyncIterator[World]:
    """A world in which a shop may have little."""
    async with cloned_database(services.postgres.url(), template) as url:
        settings = replace(
            settings_for(services, url),
            quota_open_jobs=OPEN_JOBS,
            quota_open_batches=OPEN_BATCHES,
            quota_stored_mb=1,
        )
        async with open_world(settings, renderer) as world:
            yield world


shop = pytest.fixture(new_shop)


async def ask(house: World, shop: str) -> httpx.Response:
    """Ask for a job."""
    return await house.http.post("/v1/catalog-image", json=BODY, headers=house.bearer(shop))


async def fill(house: World, shop: str) -> None:
    """Ask for as many jobs as there may be."""
    for _ in range(OPEN_JOBS):
        assert (await ask(house, shop)).status_code == 202


async def hold(house: World, shop: str, megabytes: int) -> None:
    """Let the shop have so much in the bucket."""
    await house.execute(
        "UPDATE shops SET stored_bytes = :size WHERE domain = :shop",
        size=megabytes * 1_000_000,
        shop=shop,
    )


async def jobs_of(house: World, shop: str) -> int:
    """How many jobs the shop has."""
    counted = "SELECT count(*) AS n FROM jobs WHERE shop_id = :s"
    return int((await house.rows(counted, s=await shop_id_of(house, shop)))[0]["n"])


async def test_one_job_too_many_is_refused_until_another_has_ended(house: World, shop: str) -> None:
    await fill(house, shop)
    refused = await ask(house, shop)
    assert refusal(refused) == JOBS_FULL
    assert 60 <= int(refused.headers["retry-after"]) <= 75
    assert await jobs_of(house, shop) == OPEN_JOBS
    assert (await ask(house, await new_shop(house))).status_code == 202
    await house.execute(
        "UPDATE jobs SET status = 'FAILURE' WHERE public_id = "
        "(SELECT min(public_id) FROM jobs WHERE shop_id = :s)",
        s=await shop_id_of(house, shop),
    )
    assert (await ask(house, shop)).status_code == 202


async def test_a_rule_that_finds_no_room_is_put_off_to_the_next_sweep(
    house: World, shop: str
) -> None:
    await fill(house, shop)
    house.product(b"x", shop=shop)
    assert await handled(house, "products/create", shop=shop) == ("ignored", JOBS_FULL[1])
    assert await jobs_of(house, shop) == OPEN_JOBS
    ref = ShopRef(shop_id=await shop_id_of(house, shop))
    mark = "SELECT products_swept_until FROM shops WHERE domain = :d"
    before = await house.rows(mark, d=shop)
    assert await sweep(house, ref) == 0
    assert await house.rows(mark, d=shop) == before, "nothing counts as looked at"
    await house.execute("UPDATE jobs SET status = 'FAILURE' WHERE shop_id = :s", s=ref.shop_id)
    assert await sweep(house, ref) == 1
    assert await jobs_of(house, shop) == OPEN_JOBS + 1


async def sweep(house: World, ref: ShopRef) -> int:
    """Look for products that were missed until now."""
    until = (await house.rows("SELECT now() + interval '1 second' AS now"))[0]["now"]
    return await sweep_products(ref, house.workshop, frozenset(), until=until)


async def test_a_batch_waits_for_room_and_goes_on(house: World, shop: str) -> None:
    ref = await made(house, shop, {"product_ids": gids(3)})
    await fill(house, shop)
    for _ in range(20):  # more often than it may try
        assert await run_expansion(ref, house.workshop.desk) == ROOM_DELAY
    assert await counts(house, shop, ref) == ("EXPANDING", 3, 0, 0, 0)
    await house.execute("UPDATE jobs SET status = 'FAILURE' WHERE shop_id = :s", s=ref.shop_id)
    assert await run_expansion(ref, house.workshop.desk) is None
    assert await counts(house, shop, ref) == ("IN_PROGRESS", 3, 0, 0, 0)


async def test_batches_leave_the_last_tenth_to_whoever_asks_now(house: World, shop: str) -> None:
    ref = await made(house, shop, {"product_ids": gids(9)})
    assert await run_expansion(ref, house.workshop.desk) is None
    other = await made(house, shop, {"product_ids": gids(1)})
    assert await run_expansion(other, house.workshop.desk) == ROOM_DELAY
    assert (await ask(house, shop)).status_code == 202
    assert refusal(await ask(house, shop)) == JOBS_FULL


async def test_one_batch_too_many_is_refused_until_the_jobs_of_another_are_made(
    house: World, shop: str
) -> None:
    first, _ = [await made(house, shop, {"product_ids": gids(1)}) for _ in range(OPEN_BATCHES)]
    assert refusal(await post(house, shop, {"product_ids": gids(1)})) == BATCHES_FULL
    assert await run_expansion(first, house.workshop.desk) is None
    await made(house, shop, {"product_ids": gids(1)})
    await end_jobs(house, shop, first, bad=1)
    assert refusal(await act(house, shop, first, "retry")) == BATCHES_FULL
    assert (await ref_of(house, first.public_id)).round == 0


async def test_whoever_has_no_room_in_the_bucket_makes_nothing_more(
    house: World, shop: str
) -> None:
    ref = await made(house, shop, {"product_ids": gids(1)})
    await hold(house, shop, 1)
    house.product(b"x", shop=shop)
    assert refusal(await ask(house, shop)) == STORE_FULL
    assert refusal(await post(house, shop, {"product_ids": gids(1)})) == STORE_FULL
    assert refusal(await send(house, b"not looked at", shop=shop)) == STORE_FULL
    assert await handled(house, "products/create", shop=shop) == ("ignored", STORE_FULL[1])
    assert await run_expansion(ref, house.workshop.desk) == ROOM_DELAY
    assert await jobs_of(house, shop) == 0
    await hold(house, shop, 0)
    assert (await ask(house, shop)).status_code == 202


async def test_what_a_shop_has_in_the_bucket_is_counted_as_it_uploads_and_each_night(
    house: World, shop: str
) -> None:
    await uploaded(house, shop=shop)
    sizes = "SELECT stored_bytes FROM shops WHERE domain = :d"
    (counted,) = await house.rows(sizes, d=shop)
    assert counted["stored_bytes"] > 0
    await hold(house, shop, 5)
    nobody = await new_shop(house)
    await hold(house, nobody, 5)
    await sweep_bucket(house.settings, house.workshop)
    assert await house.rows(sizes, d=shop) == [counted]
    assert await house.rows(sizes, d=nobody) == [{"stored_bytes": 0}]


@pytest.mark.parametrize("quotas", [Quotas(open_jobs=0, open_batches=0, stored_mb=0)])
def test_none_is_no_quota(quotas: Any) -> None:
    assert quotas.has_room_for(10**9)
    assert quotas.has_room_for_batches(10**9)
    assert quotas.has_room_left(10**15)
    assert quotas.jobs_of_batches > 10**9
