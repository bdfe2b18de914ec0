"""Products whose webhook was lost are found once, in the order of their changes."""

from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

import pytest

from backend import queue
from backend.errors import ShopifyUnavailable
from backend.shops.service import ShopRef
from backend.shops.shopify_responses import ProductPage
from backend.worker import product_sweep
from backend.worker.product_sweep import WEBHOOK_GRACE, enqueue_sweeps, sweep_products
from tests.backend.rules.settings_api import CATALOG_RULE, put_settings
from tests.backend.uploads.multipart_forms import shop_id_of
from tests.running_app import SHOP, RunningApp
from tests.scenarios import UPDATE, jobs_of, lock_out, new_shop, open_shared_app, process_webhook

pytestmark = pytest.mark.usefixtures("same_day")

shared_app = pytest.fixture(open_shared_app, scope="module")
shop = pytest.fixture(new_shop)


def soon() -> datetime:
    """Late enough for all that has happened so far."""
    return datetime.now(UTC) + timedelta(seconds=1)


async def sweep_shop(shared_app: RunningApp, shop: str, until: datetime | None = None) -> int:
    """Sweep the shop; how many products had been missed."""
    ref = ShopRef(shop_id=await shop_id_of(shared_app, shop))
    return await sweep_products(ref, shared_app.worker_context, frozenset(), until=until or soon())


async def move_sweep_mark(shared_app: RunningApp, shop: str, hours: int) -> None:
    """Let the shop have been swept last so long ago."""
    await shared_app.execute(
        "UPDATE shops SET products_swept_until = products_swept_until - make_interval(hours => :h) "
        "WHERE domain = :d",
        h=hours,
        d=shop,
    )


async def products_with_jobs(shared_app: RunningApp, shop: str) -> list[Any]:
    """The products that have a job, in the order of their jobs."""
    return [job["request"]["product_id"] for job in await jobs_of(shared_app, shop)]


async def test_a_product_with_a_lost_webhook_gets_its_jobs_once(
    shared_app: RunningApp, shop: str
) -> None:
    await move_sweep_mark(shared_app, shop, 1)
    product = shared_app.product(b"x", shop=shop)
    assert await sweep_shop(shared_app, shop) == 1
    assert await products_with_jobs(shared_app, shop) == [product.gid]
    assert await sweep_shop(shared_app, shop, soon() + timedelta(hours=1)) == 0
    assert await process_webhook(shared_app, UPDATE, shop=shop) == ("ignored", "ALREADY_MADE")


async def test_missed_products_are_counted(shared_app: RunningApp, shop: str) -> None:
    await move_sweep_mark(shared_app, shop, 1)
    for _ in range(2):
        shared_app.product(b"x", shop=shop)
    before = await findings(shared_app)
    await sweep_shop(shared_app, shop)
    assert await findings(shared_app) - before == 2


async def findings(shared_app: RunningApp) -> int:
    """How many missed products have been counted, and put right."""
    rows = await shared_app.rows(
        "SELECT least(sum(found), sum(repaired)) AS count FROM findings "
        "WHERE kind = 'product_without_webhook'"
    )
    return int(rows[0]["count"] or 0)


async def test_a_product_whose_webhook_arrived_is_not_counted_as_missed(
    shared_app: RunningApp, shop: str
) -> None:
    await move_sweep_mark(shared_app, shop, 1)
    shared_app.product(b"x", shop=shop)
    await process_webhook(shared_app, UPDATE, shop=shop)
    assert await sweep_shop(shared_app, shop) == 0
    assert len(await jobs_of(shared_app, shop)) == 1


async def test_recent_changes_are_left_to_their_webhook(shared_app: RunningApp, shop: str) -> None:
    await move_sweep_mark(shared_app, shop, 1)
    shared_app.product(b"x", shop=shop)
    assert await sweep_shop(shared_app, shop, datetime.now(UTC) - WEBHOOK_GRACE) == 0
    assert await sweep_shop(shared_app, shop) == 1


@pytest.mark.slow
async def test_the_sweep_reads_every_page_of_products(shared_app: RunningApp, shop: str) -> None:
    await move_sweep_mark(shared_app, shop, 1)
    products = [shared_app.product(b"x", shop=shop) for _ in range(55)]
    assert await sweep_shop(shared_app, shop) == 55
    assert await products_with_jobs(shared_app, shop) == [product.gid for product in products]


async def test_a_daily_cap_pauses_the_sweep_until_the_next_day(
    shared_app: RunningApp, shop: str
) -> None:
    await put_settings(shared_app, shop, CATALOG_RULE, daily_credit_cap=2)
    await move_sweep_mark(shared_app, shop, 1)
    products = [shared_app.product(b"x", shop=shop) for _ in range(5)]
    caught_up = []
    for _ in range(4):
        caught_up.append(await sweep_shop(shared_app, shop))
        await shared_app.execute(
            "UPDATE daily_counts c SET day = day - 1 FROM shops s "
            "WHERE s.id = c.shop_id AND s.domain = :d",
            d=shop,
        )
    assert caught_up == [2, 2, 1, 0]
    assert await products_with_jobs(shared_app, shop) == [product.gid for product in products]


async def test_a_product_above_the_daily_cap_does_not_stop_the_sweep(
    shared_app: RunningApp, shop: str
) -> None:
    swap = {
        "workflow": "background-swap-with-spec",
        "parameters": {"scene_type": "wall"},
        "filter": {"tags": ["dear"]},
    }
    await put_settings(shared_app, shop, CATALOG_RULE, swap, daily_credit_cap=5)
    await move_sweep_mark(shared_app, shop, 1)
    cheap = shared_app.product(b"x", shop=shop)
    shared_app.shopify.create_product(shop, "Coat", b"x", tags=("dear",))
    later = shared_app.product(b"y", shop=shop)
    assert await sweep_shop(shared_app, shop, until := soon()) == 2
    assert await products_with_jobs(shared_app, shop) == [cheap.gid, later.gid]
    assert await sweep_mark(shared_app, shop) == until


@pytest.mark.slow
async def test_an_interrupted_sweep_continues_where_it_stopped(
    shared_app: RunningApp, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await move_sweep_mark(shared_app, shop, 1)
    for _ in range(55):
        shared_app.product(b"x", shop=shop)
    admin = shared_app.worker_context.admin
    ask, marks = admin.changed_products, []

    async def first_page_only(*shop: str, **which: Any) -> ProductPage:
        marks.append(which["since"])
        if which["after"] is not None:
            raise ShopifyUnavailable
        return await ask(*shop, **which)

    monkeypatch.setattr(admin, "changed_products", first_page_only)
    assert await sweep_shop(shared_app, shop) == 50
    await sweep_shop(shared_app, shop)
    assert marks[-1] > marks[0], "the first page is done with"
    monkeypatch.undo()
    assert await sweep_shop(shared_app, shop) == 5
    assert len(set(await products_with_jobs(shared_app, shop))) == 55


async def test_the_sweep_passes_an_empty_page(shared_app: RunningApp, shop: str) -> None:
    await move_sweep_mark(shared_app, shop, 1)
    for _ in range(55):
        shared_app.product(b"x", shop=shop)
    shared_app.shopify.fault_next_pages("products", "empty", "empty")
    assert await sweep_shop(shared_app, shop, until := soon()) == 55
    assert await sweep_mark(shared_app, shop) == until


async def test_the_sweep_finds_the_image_behind_videos(shared_app: RunningApp, shop: str) -> None:
    await move_sweep_mark(shared_app, shop, 1)
    product = shared_app.shopify.create_product(shop, "Filmed", None)
    for _ in range(4):
        shared_app.shopify.add_video(product)
    assert await sweep_shop(shared_app, shop) == 0
    await move_sweep_mark(shared_app, shop, 1)
    shared_app.shopify.add_image(product, b"x")
    assert await sweep_shop(shared_app, shop) == 1


async def test_a_page_without_a_next_cursor_ends_the_sweep_until_the_next_run(
    shared_app: RunningApp, shop: str
) -> None:
    await move_sweep_mark(shared_app, shop, 1)
    shared_app.product(b"x", shop=shop)
    mark = await sweep_mark(shared_app, shop)
    shared_app.shopify.fault_next_pages("products", "empty", "stuck")
    assert await sweep_shop(shared_app, shop) == 0
    assert await sweep_mark(shared_app, shop) == mark
    assert await sweep_shop(shared_app, shop) == 1


@pytest.mark.parametrize("status", [402, 403, 423, 200])
async def test_an_inactive_shop_is_swept_once_it_is_open_again(
    shared_app: RunningApp, shop: str, status: int
) -> None:
    await move_sweep_mark(shared_app, shop, 1)
    shared_app.product(b"x", shop=shop)
    shared_app.shopify.lock_shop(shop, status)
    assert await sweep_shop(shared_app, shop) == 0
    shared_app.shopify.unlock_shop(shop)
    assert await sweep_shop(shared_app, shop) == 1


async def sweep_mark(shared_app: RunningApp, shop: str) -> datetime:
    """The time up to which the shop was swept."""
    found = "SELECT products_swept_until AS mark FROM shops WHERE domain = :d"
    mark: datetime = (await shared_app.rows(found, d=shop))[0]["mark"]
    return mark


async def test_a_stopping_worker_leaves_the_sweep_to_the_next_run(
    shared_app: RunningApp, shop: str
) -> None:
    await move_sweep_mark(shared_app, shop, 1)
    shared_app.product(b"x", shop=shop)
    shared_app.worker_context.stopping.set()
    try:
        assert await sweep_shop(shared_app, shop) == 0
    finally:
        shared_app.worker_context.stopping.clear()
    assert await sweep_shop(shared_app, shop) == 1


async def test_a_shop_that_needs_reauth_is_not_swept(shared_app: RunningApp, shop: str) -> None:
    await move_sweep_mark(shared_app, shop, 1)
    shared_app.product(b"x", shop=shop)
    await lock_out(shared_app, shop)
    assert await sweep_shop(shared_app, shop) == 0
    assert await jobs_of(shared_app, shop) == []


async def test_changes_made_while_the_app_was_uninstalled_are_not_swept(
    shared_app: RunningApp, shop: str
) -> None:
    await move_sweep_mark(shared_app, shop, 1)
    shared_app.shopify.uninstall(shop)
    await process_webhook(shared_app, "app/uninstalled", shop=shop)
    product = shared_app.product(b"x", shop=shop)
    half_an_hour_ago = datetime.now(UTC) - timedelta(minutes=30)
    shared_app.shopify.platform.catalogue.put(product, half_an_hour_ago)
    shared_app.shopify.reinstall(shop)
    await shared_app.install(shop)
    assert await sweep_shop(shared_app, shop) == 0
    assert await jobs_of(shared_app, shop) == []


async def test_opening_the_app_does_not_move_the_sweep_mark(
    shared_app: RunningApp, shop: str
) -> None:
    await move_sweep_mark(shared_app, shop, 1)
    shared_app.product(b"x", shop=shop)
    await shared_app.install(shop)
    assert await sweep_shop(shared_app, shop) == 1


async def test_each_reachable_shop_is_queued_for_a_sweep_once(running_app: RunningApp) -> None:
    await running_app.install()
    parked, closed = "parked.myshopify.com", "closed.myshopify.com"
    for each in (parked, closed):
        await running_app.install(each)
    await running_app.execute(
        "UPDATE shops SET reauth_needed_at = now() WHERE domain = :d", d=parked
    )
    await running_app.execute("UPDATE shops SET scopes = 'write_files' WHERE domain = :d", d=closed)
    assert [await enqueue_sweeps(running_app.database) for _ in range(2)] == [1, 1]
    entries = "SELECT dedupe_key FROM queue.pgqueuer WHERE entrypoint = :e"
    assert len(await running_app.rows(entries, e=queue.SWEEP_PRODUCTS)) == 1
    running_app.shopify.platform.clock = (datetime.now(UTC) - timedelta(hours=1)).timestamp
    running_app.product(b"x")
    await running_app.execute(
        "UPDATE shops SET products_swept_until = now() - interval '2 hours' WHERE domain = :d",
        d=SHOP,
    )
    await running_app.drain(only_webhooks=True)
    assert len(await jobs_of(running_app, SHOP)) == 1


async def test_the_sweep_mark_uses_the_databases_clock(
    shared_app: RunningApp, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Ahead(datetime):
        """The clock of a worker that is two hours ahead."""

        @classmethod
        def now(cls, tz: tzinfo | None = None) -> "Ahead":
            return super().now(tz) + timedelta(hours=2)

    monkeypatch.setattr(product_sweep, "datetime", Ahead)
    await move_sweep_mark(shared_app, shop, 1)
    ref = ShopRef(shop_id=await shop_id_of(shared_app, shop))
    await sweep_products(ref, shared_app.worker_context, frozenset())
    rows = await shared_app.rows(
        "SELECT now() - products_swept_until AS ago FROM shops WHERE domain = :d", d=shop
    )
    assert WEBHOOK_GRACE <= rows[0]["ago"] < WEBHOOK_GRACE + timedelta(minutes=1)
