"""What the law asks for: say what is held, and erase it for real, rows and pictures."""

from typing import Any

import msgspec

from backend.storage.objects import ObjectStore
from backend.worker.deliver import handle_delivery
from tests.doors import (
    TENANT_TABLES,
    begun_job,
    ending,
    fingerprint,
    finished_job,
    handled,
    make_stage,
    missing_objects,
    sent,
    waiting_job,
)
from tests.world import OTHER_SHOP, World

CUSTOMER = "191167"  # as in the stand-in's samples
REDACT = "customers/redact"


async def left(house: World, shop: str) -> None:
    """The merchant removes the app, and we have heard of it."""
    house.shopify.uninstall(shop)
    assert (await handled(house, "app/uninstalled", shop=shop))[0] == "processed"


async def deliveries(house: World, shop: str) -> list[dict[str, Any]]:
    """The shop's inbox."""
    return await house.rows(
        "SELECT topic, note, body FROM webhook_deliveries WHERE shop_domain = :d", d=shop
    )


async def rows_of_shop(house: World, shop_id: int) -> dict[str, int]:
    """How many rows of each tenant table carry this shop's id."""
    return {
        table: len(await house.rows(f"SELECT 1 FROM {table} WHERE shop_id = :s", s=shop_id))
        for table in TENANT_TABLES
    }


async def test_a_customer_is_told_how_many_jobs_are_theirs(house: World, shop: str) -> None:
    for customer in (CUSTOMER, CUSTOMER, "2", None):
        await waiting_job(house, shop=shop, customer_id=customer)
    before = await fingerprint(house, shop)
    ended = await handled(house, "customers/data_request", shop=shop)
    assert ended == ("processed", "HELD 2 jobs")
    after = await fingerprint(house, shop)
    assert [table for table in before if before[table] != after[table]] == ["privacy_requests"]


async def test_a_customers_jobs_go_with_their_pictures_and_all_others_stay(
    house: World, shop: str
) -> None:
    finished, gone = await finished_job(house, shop=shop, customer_id=CUSTOMER)
    running = await begun_job(house, shop=shop, customer_id=CUSTOMER)
    gone += await make_stage(house, running, "segment")
    waiting = await waiting_job(house, shop=shop, customer_id=CUSTOMER)
    other, kept = await finished_job(house, shop=shop, customer_id="2")
    nobodys, more = await finished_job(house, shop=shop)
    assert await handled(house, REDACT, shop=shop) == ("processed", "ERASED 3 jobs")
    for ref in (finished, running.ref, waiting):
        assert (await house.detail(ref.public_id, shop=shop)).status_code == 404
    for ref in (other, nobodys):
        assert (await house.detail(ref.public_id, shop=shop)).status_code == 200
    assert await missing_objects(house, gone) == gone
    assert await missing_objects(house, kept + more) == []


async def test_a_url_handed_out_before_the_erasure_opens_nothing_after_it(
    house: World, shop: str
) -> None:
    ref, _ = await finished_job(house, shop=shop, customer_id=CUSTOMER)
    url = (await house.detail(ref.public_id, shop=shop)).json()["result"][0]["image_url"]
    assert (await house.http.get(url)).status_code == 200
    await handled(house, REDACT, shop=shop)
    assert (await house.http.get(url)).status_code == 404


async def test_the_same_customer_of_another_shop_is_somebody_else(house: World, shop: str) -> None:
    await house.install(OTHER_SHOP)
    _, keys = await finished_job(house, shop=OTHER_SHOP, customer_id=CUSTOMER)
    before = await fingerprint(house, OTHER_SHOP)
    assert await handled(house, REDACT, shop=shop) == ("processed", "ERASED 0 jobs")
    assert await fingerprint(house, OTHER_SHOP) == before
    assert await missing_objects(house, keys) == []


async def test_a_request_without_a_customer_or_for_another_shop_does_nothing(
    house: World, shop: str
) -> None:
    await waiting_job(house, shop=shop, customer_id=CUSTOMER)
    before = await fingerprint(house, shop)
    whole: dict[str, object] = {
        "shop_domain": shop,
        "customer": {"id": int(CUSTOMER)},
        "orders_to_redact": [],
    }
    for change, note in (
        ({"customer": None}, "BODY_MISMATCH"),
        ({"orders_to_redact": None}, "BODY_MISMATCH"),
        ({"shop_domain": OTHER_SHOP}, "SHOP_MISMATCH"),
    ):
        assert await handled(house, REDACT, whole | change, shop=shop) == ("ignored", note)
    assert await fingerprint(house, shop) == before


async def test_a_shop_that_left_is_erased_from_every_table_the_bucket_and_the_inbox(
    house: World, shop: str
) -> None:
    ref, keys = await finished_job(house, shop=shop, customer_id=CUSTOMER)
    running = await begun_job(house, shop=shop)
    keys += await make_stage(house, running, "segment")
    await left(house, shop)
    ended = await handled(house, "shop/redact", shop=shop)
    assert ended == ("processed", "ERASED 2 jobs and the shop")
    assert await house.rows("SELECT 1 FROM shops WHERE domain = :d", d=shop) == []
    assert await rows_of_shop(house, ref.shop_id) == dict.fromkeys(TENANT_TABLES, 0)
    assert await missing_objects(house, keys) == keys
    remembered = [{"topic": "shop/redact", "note": "ERASED 2 jobs and the shop", "body": None}]
    assert await deliveries(house, shop) == remembered


async def test_a_shop_whose_uninstall_was_never_delivered_is_erased_all_the_same(
    house: World, shop: str
) -> None:
    ref, keys = await finished_job(house, shop=shop)
    house.shopify.uninstall(shop)
    ended = await handled(house, "shop/redact", shop=shop)
    assert ended == ("processed", "ERASED 1 jobs and the shop")
    assert await rows_of_shop(house, ref.shop_id) == dict.fromkeys(TENANT_TABLES, 0)
    assert await missing_objects(house, keys) == keys


async def test_erasing_one_shop_leaves_the_others_as_they_were(house: World, shop: str) -> None:
    await house.install(OTHER_SHOP)
    _, keys = await finished_job(house, shop=OTHER_SHOP)
    before = await fingerprint(house, OTHER_SHOP)
    await finished_job(house, shop=shop)
    await left(house, shop)
    await handled(house, "shop/redact", shop=shop)
    assert await fingerprint(house, OTHER_SHOP) == before
    assert await missing_objects(house, keys) == []


async def test_a_second_copy_of_an_erasure_is_harmless(house: World, shop: str) -> None:
    await finished_job(house, shop=shop)
    await left(house, shop)
    payload = house.shopify.payload(shop, "shop/redact")
    first = await sent(house, "shop/redact", payload, shop=shop)
    second = await sent(house, "shop/redact", payload, shop=shop)
    for ref in (first, second):
        assert await handle_delivery(ref, house.desk, 0) is None
    assert await handled(house, "shop/redact", payload, shop=shop) == ("ignored", "UNKNOWN_SHOP")
    notes = [row["note"] for row in await deliveries(house, shop)]
    assert sorted(notes) == ["ERASED 1 jobs and the shop", "NOTHING_HELD", "UNKNOWN_SHOP"]


async def test_a_shop_that_is_back_keeps_everything(house: World, shop: str) -> None:
    _, keys = await finished_job(house, shop=shop)
    await left(house, shop)
    house.shopify.reinstall(shop)
    await house.install(shop)
    before = await fingerprint(house, shop)
    assert await handled(house, "shop/redact", shop=shop) == ("ignored", "REINSTALLED")
    assert await fingerprint(house, shop) == before
    assert await missing_objects(house, keys) == []


async def test_an_erased_shop_can_come_back_and_begins_anew(house: World, shop: str) -> None:
    ref, _ = await finished_job(house, shop=shop)
    await left(house, shop)
    await handled(house, "shop/redact", shop=shop)
    house.shopify.reinstall(shop)
    await house.install(shop)
    assert (await house.detail(ref.public_id, shop=shop)).status_code == 404


async def test_an_erasure_that_cannot_reach_the_pictures_forgets_nothing_and_is_repeated(
    house: World, shop: str
) -> None:
    ref, keys = await finished_job(house, shop=shop, customer_id=CUSTOMER)
    nowhere = msgspec.structs.replace(house.settings, s3_endpoint_url="http://127.0.0.1:9")
    cut_off = msgspec.structs.replace(house.desk, store=ObjectStore(nowhere))
    redaction = await sent(house, REDACT, shop=shop)
    assert await handle_delivery(redaction, cut_off, 0) is not None
    assert (await house.detail(ref.public_id, shop=shop)).status_code == 200
    assert await handle_delivery(redaction, house.desk, 1) is None
    assert await ending(house, redaction.webhook_id) == ("processed", "ERASED 1 jobs")
    assert await missing_objects(house, keys) == keys
