"""Much work of one shop is done in slices and turns, each about one installation and no other."""

import asyncio
from datetime import timedelta

import pytest

from backend.jobs import erasure, timeline
from backend.publications.ledger import PublicationRef, claim
from backend.queue import PUBLISH
from backend.shops.tokens import is_parked
from backend.slices import TimeSlice
from backend.storage.erasures import noted_erasures
from backend.storage.objects import ObjectStore
from backend.uploads import service as uploads
from backend.worker.deliver import handle_delivery
from tests.doors import (
    TENANT_TABLES,
    ending,
    fingerprint,
    finished_job,
    missing_objects,
    sent,
    waiting_job,
)
from tests.world import World
from webhooks.erasure import begin_erasure
from webhooks.handlers import app, compliance
from webhooks.receive import DeliveryRef

AT_ONCE = timedelta(0)
CUSTOMER = "191167"  # as in the stand-in's samples


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slices of two, and a turn that is over after the first."""
    for module in (erasure, timeline, uploads):
        monkeypatch.setattr(module, "SLICE", 2)
    for handlers in (app, compliance):
        monkeypatch.setattr(handlers, "TURN", 0.0)


async def worked_off(house: World, ref: DeliveryRef) -> int:
    """Give it turns until it is settled; how many it took."""
    for turns in range(1, 100):
        if await handle_delivery(ref, house.desk, turns) is None:
            return turns
    raise AssertionError("it never ends")


async def shop_of(house: World, domain: str) -> int:
    """The shop's number."""
    return int((await house.rows("SELECT id FROM shops WHERE domain = :d", d=domain))[0]["id"])


async def jobs_of(house: World, shop_id: int) -> int:
    """How many jobs there are."""
    rows = await house.rows("SELECT count(*) AS n FROM jobs WHERE shop_id = :s", s=shop_id)
    return int(rows[0]["n"])


async def closed(house: World, shop: str) -> None:
    """The merchant removes the app, and it is worked off."""
    house.shopify.uninstall(shop)
    await worked_off(house, await sent(house, "app/uninstalled", shop=shop))


async def back(house: World, shop: str) -> None:
    """The merchant comes back."""
    house.shopify.reinstall(shop)
    await house.install(shop)


async def test_a_shop_is_erased_turn_by_turn_and_all_of_it_is_counted(
    house: World, shop: str
) -> None:
    keys = []
    for _ in range(5):
        keys += (await finished_job(house, shop=shop))[1]
    shop_id = await shop_of(house, shop)
    await house.execute(
        "INSERT INTO uploads (shop_id, upload_key, key) SELECT :s, 'upl_' || n, 'uploads/x' || n "
        "FROM generate_series(1, 5) n",
        s=shop_id,
    )
    await closed(house, shop)
    ref = await sent(house, "shop/redact", shop=shop)
    assert await handle_delivery(ref, house.desk, 0) == AT_ONCE
    assert await jobs_of(house, shop_id) == 3
    assert await ending(house, ref.webhook_id) == ("received", None)
    assert await worked_off(house, ref) > 2
    assert await ending(house, ref.webhook_id) == ("processed", "ERASED 5 jobs and the shop")
    assert await missing_objects(house, keys) == keys
    for table in (*TENANT_TABLES, "daily_counts", "idempotency_keys"):
        rows = await house.rows(f"SELECT 1 FROM {table} WHERE shop_id = :s", s=shop_id)
        assert rows == [], table
    assert await house.rows("SELECT 1 FROM shops WHERE id = :s", s=shop_id) == []


async def test_an_erasure_that_breaks_off_keeps_what_its_objects_are_known_by(
    house: World, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    refs = [await finished_job(house, shop=shop, customer_id=CUSTOMER) for _ in range(4)]
    redaction = await sent(house, "customers/redact", shop=shop)
    assert await handle_delivery(redaction, house.desk, 0) == AT_ONCE
    delete = ObjectStore.delete

    async def broken(store: ObjectStore, keys: list[str]) -> None:
        await delete(store, list(keys)[:1])
        raise KeyboardInterrupt  # as near to a kill as a test can come

    monkeypatch.setattr(ObjectStore, "delete", broken)
    with pytest.raises(KeyboardInterrupt):
        await handle_delivery(redaction, house.desk, 0)
    monkeypatch.setattr(ObjectStore, "delete", delete)
    assert await jobs_of(house, refs[0][0].shop_id) == 2, "their rows are still there"
    await worked_off(house, redaction)
    keys = [key for _, owned in refs for key in owned]
    assert await missing_objects(house, keys) == keys
    assert await ending(house, redaction.webhook_id) == ("processed", "ERASED 4 jobs")


async def test_a_shop_that_comes_back_while_it_is_erased_starts_clean_and_keeps_what_is_new(
    house: World, shop: str
) -> None:
    old = [await finished_job(house, shop=shop) for _ in range(5)]
    before = await shop_of(house, shop)
    await closed(house, shop)
    ref = await sent(house, "shop/redact", shop=shop)
    assert await handle_delivery(ref, house.desk, 0) == AT_ONCE
    await back(house, shop)
    after = await shop_of(house, shop)
    assert after != before
    new, keys = await finished_job(house, shop=shop)
    waiting = await waiting_job(house, shop=shop)
    house.product(b"unread", shop=shop)
    webhook = await sent(house, "products/update", shop=shop)
    await house.execute(
        "INSERT INTO shop_settings (shop_id, rules, daily_credit_cap) VALUES (:s, '[]', 7)", s=after
    )
    print_of_new = await fingerprint(house, shop)
    await worked_off(house, ref)
    assert await ending(house, ref.webhook_id) == ("processed", "ERASED 5 jobs and the shop")
    assert await fingerprint(house, shop) == print_of_new
    assert await missing_objects(house, keys) == []
    assert (await ending(house, webhook.webhook_id))[0] == "received"
    for job in (new, waiting):
        assert (await house.detail(job.public_id, shop=shop)).status_code == 200
    assert await missing_objects(house, old[0][1]) == old[0][1]
    assert await house.rows("SELECT 1 FROM shops WHERE id = :s", s=before) == []


async def test_a_shop_that_comes_back_before_its_erasure_begins_keeps_everything(
    house: World, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await finished_job(house, shop=shop)
    await closed(house, shop)
    ref = await sent(house, "shop/redact", shop=shop)

    async def too_late(*args: object) -> bool:
        await back(house, shop)  # after the account was read as closed
        return await begin_erasure(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(compliance, "begin_erasure", too_late)
    await worked_off(house, ref)
    assert await ending(house, ref.webhook_id) == ("ignored", "REINSTALLED")
    assert await jobs_of(house, await shop_of(house, shop)) == 1


async def test_an_erasure_is_on_the_list_in_the_bucket_before_anything_is_gone(
    house: World, shop: str
) -> None:
    ref, keys = await finished_job(house, shop=shop, customer_id=CUSTOMER)
    redaction = await sent(house, "customers/redact", shop=shop)
    await handle_delivery(redaction, house.desk, 0)
    notes = [note async for note in noted_erasures(house.desk.store)]
    [note] = [note for note in notes if note.shop_domain == shop]
    assert (note.shop_id, note.customer_id, note.topic) == (ref.shop_id, CUSTOMER, redaction.topic)
    assert await missing_objects(house, keys) == keys


async def test_the_account_of_a_shop_with_much_work_is_closed_first(
    house: World, shop: str
) -> None:
    jobs = [await waiting_job(house, shop=shop) for _ in range(5)]
    house.shopify.uninstall(shop)
    ref = await sent(house, "app/uninstalled", shop=shop)
    assert await handle_delivery(ref, house.desk, 0) == AT_ONCE
    answer = await house.detail(jobs[0].public_id, shop=shop)
    assert answer.json()["error"]["code"] == "SHOP_NOT_INSTALLED"
    await worked_off(house, ref)
    assert await ending(house, ref.webhook_id) == ("processed", "UNINSTALLED")
    rows = await house.rows("SELECT status FROM jobs WHERE shop_id = :s", s=jobs[0].shop_id)
    assert [row["status"] for row in rows] == ["FAILURE"] * 5


async def test_work_of_a_shop_that_came_back_meanwhile_is_not_ended(
    house: World, shop: str
) -> None:
    for _ in range(5):
        await waiting_job(house, shop=shop)
    house.shopify.uninstall(shop)
    ref = await sent(house, "app/uninstalled", shop=shop)
    assert await handle_delivery(ref, house.desk, 0) == AT_ONCE
    rows = await house.rows("SELECT id, uninstalled_at FROM shops WHERE domain = :d", d=shop)
    await back(house, shop)
    new = await waiting_job(house, shop=shop)
    under_way = rows[0]["id"], rows[0]["uninstalled_at"]  # a turn that has begun before that
    await app.end_work(house.database, *under_way, TimeSlice())
    await worked_off(house, ref)
    rows = await house.rows("SELECT status FROM jobs WHERE public_id = :id", id=new.public_id)
    assert rows == [{"status": "NOT_STARTED"}]


async def test_a_publication_that_looks_at_its_shop_and_an_uninstall_do_not_block_each_other(
    house: World, shop: str
) -> None:
    job, _ = await finished_job(house, shop=shop)
    await house.execute(
        "INSERT INTO publications (shop_id, job_id, round, product_id) VALUES (:s, :j, 1, 'gid')",
        s=job.shop_id,
        j=job.public_id,
    )
    house.shopify.uninstall(shop)
    ref = await sent(house, "app/uninstalled", shop=shop)
    publication = PublicationRef(shop_id=job.shop_id, job_id=job.public_id, round=1)
    async with house.database.transaction(shop) as connection:
        await claim(connection, publication, PUBLISH)  # locks the publication
        stopping = asyncio.create_task(worked_off(house, ref))
        async with asyncio.timeout(1.5):  # less than Postgres takes to look for a deadlock twice
            while True:
                rows = await house.rows("SELECT status FROM shops WHERE domain = :d", d=shop)
                if rows[0]["status"] == "uninstalled":
                    break
                await asyncio.sleep(0.01)
            await is_parked(connection, job.shop_id)  # then the shop
    await stopping
    rows = await house.rows("SELECT status FROM publications WHERE job_id = :j", j=job.public_id)
    assert rows == [{"status": "FAILED"}]
