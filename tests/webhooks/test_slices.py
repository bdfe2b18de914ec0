"""Large erasures and uninstalls run in slices, each for one installation."""

import asyncio

import pytest

from backend.jobs import completion, erasure
from backend.leased_task import AT_ONCE, Done
from backend.publications.leases import PublicationRef, lease_publication
from backend.queue import PUBLISH
from backend.shops.tokens import is_parked
from backend.slices import TimeSlice
from backend.storage.erasures import noted_erasures
from backend.storage.objects import ObjectStore
from backend.uploads import service as uploads
from backend.worker.webhook_dispatch import handle_delivery
from tests.running_app import RunningApp
from tests.scenarios import (
    TENANT_TABLES,
    delivery_status,
    fingerprint,
    finished_job,
    missing_objects,
    send_webhook,
    waiting_job,
)
from webhooks.erasure import begin_erasure
from webhooks.handlers import app, compliance
from webhooks.receive import DeliveryRef

CUSTOMER = "191167"  # as in the stand-in's samples


@pytest.fixture(autouse=True)
def small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slices of two, and a turn that is over after the first."""
    for module in (completion, erasure, uploads):
        monkeypatch.setattr(module, "ITEMS_PER_SLICE", 2)
    for handlers in (app, compliance):
        monkeypatch.setattr(handlers, "HANDLER_SECONDS", 0.0)


async def process_delivery_to_end(shared_app: RunningApp, ref: DeliveryRef) -> int:
    """Give it turns until it is settled; how many it took."""
    for turns in range(1, 100):
        if await handle_delivery(ref, shared_app.handler_context, turns) == Done():
            return turns
    raise AssertionError("it never ends")


async def shop_of(shared_app: RunningApp, domain: str) -> int:
    """The shop's number."""
    return int((await shared_app.rows("SELECT id FROM shops WHERE domain = :d", d=domain))[0]["id"])


async def jobs_of(shared_app: RunningApp, shop_id: int) -> int:
    """How many jobs there are."""
    rows = await shared_app.rows("SELECT count(*) AS n FROM jobs WHERE shop_id = :s", s=shop_id)
    return int(rows[0]["n"])


async def close_shop(shared_app: RunningApp, shop: str) -> None:
    """The merchant removes the app, and it is worked off."""
    shared_app.shopify.uninstall(shop)
    await process_delivery_to_end(
        shared_app, await send_webhook(shared_app, "app/uninstalled", shop=shop)
    )


async def reinstall_shop(shared_app: RunningApp, shop: str) -> None:
    """The merchant comes back."""
    shared_app.shopify.reinstall(shop)
    await shared_app.install(shop)


async def test_a_shop_is_erased_in_several_turns_and_counted_in_full(
    shared_app: RunningApp, shop: str
) -> None:
    keys = []
    for _ in range(5):
        keys += (await finished_job(shared_app, shop=shop))[1]
    shop_id = await shop_of(shared_app, shop)
    await shared_app.execute(
        "INSERT INTO uploads (shop_id, upload_key, key) SELECT :s, 'upl_' || n, 'uploads/x' || n "
        "FROM generate_series(1, 5) n",
        s=shop_id,
    )
    await close_shop(shared_app, shop)
    ref = await send_webhook(shared_app, "shop/redact", shop=shop)
    assert await handle_delivery(ref, shared_app.handler_context, 0) == AT_ONCE
    assert await jobs_of(shared_app, shop_id) == 3
    assert await delivery_status(shared_app, ref.webhook_id) == ("received", None)
    assert await process_delivery_to_end(shared_app, ref) > 2
    assert await delivery_status(shared_app, ref.webhook_id) == (
        "processed",
        "ERASED 5 jobs and the shop",
    )
    assert await missing_objects(shared_app, keys) == keys
    for table in (*TENANT_TABLES, "daily_counts", "idempotency_keys"):
        rows = await shared_app.rows(f"SELECT 1 FROM {table} WHERE shop_id = :s", s=shop_id)
        assert rows == [], table
    assert await shared_app.rows("SELECT 1 FROM shops WHERE id = :s", s=shop_id) == []


async def test_an_interrupted_erasure_keeps_the_rows_of_remaining_objects(
    shared_app: RunningApp, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    refs = [await finished_job(shared_app, shop=shop, customer_id=CUSTOMER) for _ in range(4)]
    redaction = await send_webhook(shared_app, "customers/redact", shop=shop)
    assert await handle_delivery(redaction, shared_app.handler_context, 0) == AT_ONCE
    delete = ObjectStore.delete

    async def broken(store: ObjectStore, keys: list[str]) -> None:
        await delete(store, list(keys)[:1])
        raise KeyboardInterrupt  # as near to a kill as a test can come

    monkeypatch.setattr(ObjectStore, "delete", broken)
    with pytest.raises(KeyboardInterrupt):
        await handle_delivery(redaction, shared_app.handler_context, 0)
    monkeypatch.setattr(ObjectStore, "delete", delete)
    assert await jobs_of(shared_app, refs[0][0].shop_id) == 2, "their rows are still there"
    await process_delivery_to_end(shared_app, redaction)
    keys = [key for _, owned in refs for key in owned]
    assert await missing_objects(shared_app, keys) == keys
    assert await delivery_status(shared_app, redaction.webhook_id) == ("processed", "ERASED 4 jobs")


async def test_a_shop_reinstalled_during_its_erasure_starts_empty(
    shared_app: RunningApp, shop: str
) -> None:
    old = [await finished_job(shared_app, shop=shop) for _ in range(5)]
    before = await shop_of(shared_app, shop)
    await close_shop(shared_app, shop)
    ref = await send_webhook(shared_app, "shop/redact", shop=shop)
    assert await handle_delivery(ref, shared_app.handler_context, 0) == AT_ONCE
    await reinstall_shop(shared_app, shop)
    after = await shop_of(shared_app, shop)
    assert after != before
    new, keys = await finished_job(shared_app, shop=shop)
    waiting = await waiting_job(shared_app, shop=shop)
    shared_app.product(b"unread", shop=shop)
    webhook = await send_webhook(shared_app, "products/update", shop=shop)
    await shared_app.execute(
        "INSERT INTO shop_settings (shop_id, rules, daily_credit_cap) VALUES (:s, '[]', 7)", s=after
    )
    print_of_new = await fingerprint(shared_app, shop)
    await process_delivery_to_end(shared_app, ref)
    assert await delivery_status(shared_app, ref.webhook_id) == (
        "processed",
        "ERASED 5 jobs and the shop",
    )
    assert await fingerprint(shared_app, shop) == print_of_new
    assert await missing_objects(shared_app, keys) == []
    assert (await delivery_status(shared_app, webhook.webhook_id))[0] == "received"
    for job in (new, waiting):
        assert (await shared_app.detail(job.public_id, shop=shop)).status_code == 200
    assert await missing_objects(shared_app, old[0][1]) == old[0][1]
    assert await shared_app.rows("SELECT 1 FROM shops WHERE id = :s", s=before) == []


async def test_a_shop_reinstalled_before_its_erasure_keeps_everything(
    shared_app: RunningApp, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await finished_job(shared_app, shop=shop)
    await close_shop(shared_app, shop)
    ref = await send_webhook(shared_app, "shop/redact", shop=shop)

    async def too_late(*args: object) -> bool:
        await reinstall_shop(shared_app, shop)  # after the account was read as closed
        return await begin_erasure(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(compliance, "begin_erasure", too_late)
    await process_delivery_to_end(shared_app, ref)
    assert await delivery_status(shared_app, ref.webhook_id) == ("ignored", "REINSTALLED")
    assert await jobs_of(shared_app, await shop_of(shared_app, shop)) == 1


async def test_an_erasure_is_noted_in_the_bucket_before_anything_is_deleted(
    shared_app: RunningApp, shop: str
) -> None:
    ref, keys = await finished_job(shared_app, shop=shop, customer_id=CUSTOMER)
    redaction = await send_webhook(shared_app, "customers/redact", shop=shop)
    await handle_delivery(redaction, shared_app.handler_context, 0)
    notes = [note async for note in noted_erasures(shared_app.handler_context.store)]
    [note] = [note for note in notes if note.shop_domain == shop]
    assert (note.shop_id, note.customer_id, note.topic) == (ref.shop_id, CUSTOMER, redaction.topic)
    assert await missing_objects(shared_app, keys) == keys


async def test_a_shop_with_much_work_is_closed_before_its_work_ends(
    shared_app: RunningApp, shop: str
) -> None:
    jobs = [await waiting_job(shared_app, shop=shop) for _ in range(5)]
    shared_app.shopify.uninstall(shop)
    ref = await send_webhook(shared_app, "app/uninstalled", shop=shop)
    assert await handle_delivery(ref, shared_app.handler_context, 0) == AT_ONCE
    answer = await shared_app.detail(jobs[0].public_id, shop=shop)
    assert answer.json()["error"]["code"] == "SHOP_NOT_INSTALLED"
    await process_delivery_to_end(shared_app, ref)
    assert await delivery_status(shared_app, ref.webhook_id) == ("processed", "UNINSTALLED")
    rows = await shared_app.rows("SELECT status FROM jobs WHERE shop_id = :s", s=jobs[0].shop_id)
    assert [row["status"] for row in rows] == ["FAILURE"] * 5


async def test_work_of_a_reinstalled_shop_is_not_ended(shared_app: RunningApp, shop: str) -> None:
    for _ in range(5):
        await waiting_job(shared_app, shop=shop)
    shared_app.shopify.uninstall(shop)
    ref = await send_webhook(shared_app, "app/uninstalled", shop=shop)
    assert await handle_delivery(ref, shared_app.handler_context, 0) == AT_ONCE
    rows = await shared_app.rows("SELECT id, uninstalled_at FROM shops WHERE domain = :d", d=shop)
    await reinstall_shop(shared_app, shop)
    new = await waiting_job(shared_app, shop=shop)
    under_way = rows[0]["id"], rows[0]["uninstalled_at"]  # a turn that has begun before that
    await app.end_work(shared_app.database, *under_way, TimeSlice())
    await process_delivery_to_end(shared_app, ref)
    rows = await shared_app.rows("SELECT status FROM jobs WHERE public_id = :id", id=new.public_id)
    assert rows == [{"status": "NOT_STARTED"}]


async def test_a_publication_and_an_uninstall_do_not_deadlock(
    shared_app: RunningApp, shop: str
) -> None:
    job, _ = await finished_job(shared_app, shop=shop)
    await shared_app.execute(
        "INSERT INTO publications (shop_id, job_id, round, product_id) VALUES (:s, :j, 1, 'gid')",
        s=job.shop_id,
        j=job.public_id,
    )
    shared_app.shopify.uninstall(shop)
    ref = await send_webhook(shared_app, "app/uninstalled", shop=shop)
    publication = PublicationRef(shop_id=job.shop_id, job_id=job.public_id, round=1)
    async with shared_app.database.transaction(shop) as connection:
        await lease_publication(connection, publication, PUBLISH)  # locks the publication
        stopping = asyncio.create_task(process_delivery_to_end(shared_app, ref))
        async with asyncio.timeout(1.5):  # less than Postgres takes to look for a deadlock twice
            while True:
                rows = await shared_app.rows("SELECT status FROM shops WHERE domain = :d", d=shop)
                if rows[0]["status"] == "uninstalled":
                    break
                await asyncio.sleep(0.01)
            await is_parked(connection, job.shop_id)  # then the shop
    await stopping
    rows = await shared_app.rows(
        "SELECT status FROM publications WHERE job_id = :j", j=job.public_id
    )
    assert rows == [{"status": "FAILED"}]
