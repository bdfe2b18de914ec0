"""Which jobs a shop's rules create from product webhooks."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from backend.dev.shopify import ProductRecord
from backend.jobs.daily_quotas import amount_of
from backend.rules.apply import admits, apply_rules
from backend.rules.schemas import ProductFilter
from backend.shops.shopify_responses import Product as ReadProduct
from backend.shops.tokens import installed_shop
from tests.backend.rules.settings_api import (
    CATALOG_RULE,
    delivery_outcome,
    get_settings,
    put_settings,
)
from tests.backend.uploads.multipart_forms import shop_id_of, upload_picture
from tests.catalog_entries import archive_row, generated_entry
from tests.hosted_engines import WITH_ENGINES, app_with
from tests.running_app import RunningApp
from tests.scenarios import CREATE, UPDATE, jobs_of

pytestmark = pytest.mark.usefixtures("same_day")

ON_CREATION = CATALOG_RULE | {"on": ["product_created"]}
ON_CHANGE = CATALOG_RULE | {"on": ["image_changed"]}
SPEC = {"workflow": "background-swap-with-spec", "parameters": {"scene_type": "wall"}}
NO_RULE = ("ignored", "NO_RULE")


async def age_spending(shared_app: RunningApp, shop: str, days: int) -> None:
    """Let what was spent have been spent some days ago."""
    await shared_app.execute(
        "UPDATE daily_counts SET day = day - CAST(:days AS int) "
        "FROM shops s WHERE s.id = shop_id AND s.domain = :d",
        days=days,
        d=shop,
    )


# When


async def test_a_first_image_and_a_changed_image_are_distinguished(
    shared_app: RunningApp, shop: str
) -> None:
    await put_settings(shared_app, shop, ON_CREATION)
    product = shared_app.product(b"first", shop=shop)
    assert await delivery_outcome(shared_app, shop, CREATE) == ("processed", "JOB")
    shared_app.shopify.replace_image(product, b"second")
    assert await delivery_outcome(shared_app, shop) == NO_RULE
    await put_settings(shared_app, shop, ON_CHANGE)
    assert await delivery_outcome(shared_app, shop) == ("processed", "JOB")
    assert len(await jobs_of(shared_app, shop)) == 2


@pytest.mark.parametrize("order", [[CREATE, UPDATE], [UPDATE, CREATE], [UPDATE, UPDATE]])
async def test_a_new_products_image_is_its_first_in_any_webhook_order(
    shared_app: RunningApp, shop: str, order: list[str]
) -> None:
    await put_settings(shared_app, shop, ON_CHANGE)
    shared_app.product(b"first", shop=shop)
    for topic in order:
        assert await delivery_outcome(shared_app, shop, topic) == NO_RULE
    await put_settings(shared_app, shop, ON_CREATION)
    assert await delivery_outcome(shared_app, shop) == ("processed", "JOB")


async def test_an_image_added_later_is_also_the_first(shared_app: RunningApp, shop: str) -> None:
    await put_settings(shared_app, shop, ON_CREATION)
    product = shared_app.shopify.create_product(shop, "Tee", None)
    assert await delivery_outcome(shared_app, shop, CREATE) == ("ignored", "NO_IMAGE")
    shared_app.shopify.replace_image(product, b"first")
    assert await delivery_outcome(shared_app, shop) == ("processed", "JOB")


async def test_a_product_older_than_the_installation_is_not_created(
    shared_app: RunningApp, shop: str
) -> None:
    await put_settings(shared_app, shop, ON_CREATION)
    shared_app.product(b"first", shop=shop)
    await shared_app.execute("UPDATE shops SET joined_at = now() + interval '1 minute'")
    assert await delivery_outcome(shared_app, shop) == NO_RULE
    await put_settings(shared_app, shop, ON_CHANGE)
    assert await delivery_outcome(shared_app, shop) == ("processed", "JOB")


# Odd texts


@pytest.mark.parametrize(
    ("title", "alt"),
    [
        ("Dress 👗🔥", "Dress 👗🔥"),
        ("a\u0000b", "ab"),
        ("Tee\r\n\tshirt ", "Tee shirt"),
        (" \u00a0 ", None),
        ("e\u0301" * 300, "e\u0301" * 256),
    ],
)
async def test_any_title_can_become_an_alt_text(
    shared_app: RunningApp, shop: str, title: str, alt: str | None
) -> None:
    await put_settings(shared_app, shop, CATALOG_RULE | {"publish": {"position": 1}})
    shared_app.shopify.create_product(shop, title, b"x", vendor=title, tags=(title,))
    assert await delivery_outcome(shared_app, shop) == ("processed", "JOB")
    assert (await jobs_of(shared_app, shop))[0]["publish"]["alt"] == alt


# Which products


def product_with(**facts: Any) -> ReadProduct:
    """A product as Shopify tells of it."""
    usual = {
        "id": "gid://shopify/Product/1",
        "title": "Tee",
        "status": "ACTIVE",
        "vendor": "Atelier",
        "productType": "Shirt",
        "tags": ["Summer", "sale"],
        "createdAt": datetime.now(UTC),
        "updatedAt": datetime.now(UTC),
        "media": {"nodes": [], "pageInfo": {"hasNextPage": False}},
    }
    return msgspec.convert(usual | facts, ReadProduct)


@pytest.mark.parametrize(
    ("wanted", "admitted"),
    [
        (ProductFilter(), True),
        (ProductFilter(vendors=("atelier",)), True),
        (ProductFilter(vendors=("Other", "Atelier")), True),
        (ProductFilter(vendors=("Other",)), False),
        (ProductFilter(product_types=("SHIRT",)), True),
        (ProductFilter(product_types=("Shirts",)), False),
        (ProductFilter(tags=("summer", "winter")), True),
        (ProductFilter(tags=("winter",)), False),
        (ProductFilter(tags=("summer",), vendors=("Other",)), False),
        (ProductFilter(statuses=("ACTIVE", "DRAFT")), True),
        (ProductFilter(statuses=("DRAFT",)), False),
    ],
)
def test_a_filter_admits_products_that_match_every_list(
    wanted: ProductFilter, admitted: bool
) -> None:
    assert admits(wanted, product_with()) is admitted


async def test_the_filter_uses_shopifys_current_product_data(
    shared_app: RunningApp, shop: str
) -> None:
    await put_settings(shared_app, shop, CATALOG_RULE | {"filter": {"tags": ["Summer"]}})
    shared_app.shopify.create_product(shop, "Coat", b"x", tags=("winter",))
    assert await delivery_outcome(shared_app, shop, CREATE) == NO_RULE
    shared_app.shopify.create_product(shop, "Tee", b"x", tags=("sale", "summer"))
    assert await delivery_outcome(shared_app, shop, CREATE) == ("processed", "JOB")


# What


async def test_every_rule_creates_its_job_with_its_parameters(
    shared_app: RunningApp, shop: str
) -> None:
    await put_settings(shared_app, shop, CATALOG_RULE | {"parameters": {"margin": 0.2}}, SPEC)
    product = shared_app.product(b"x", shop=shop)
    await delivery_outcome(shared_app, shop, CREATE)
    jobs = {job["job_type"]: job["request"] for job in await jobs_of(shared_app, shop)}
    assert jobs["CATALOG_IMAGE"]["margin"] == 0.2
    assert jobs["BACKGROUND_SWAP_WITH_SPEC"]["scene_type"] == "wall"
    assert {request["source_url"] for request in jobs.values()} == {product.image_url}
    assert await delivery_outcome(shared_app, shop) == ("ignored", "ALREADY_MADE")


async def test_a_rules_upload_reaches_its_job(shared_app: RunningApp, shop: str) -> None:
    upload_key = await upload_picture(shared_app, shop=shop)
    swap = {
        "workflow": "background-swap-with-image",
        "parameters": {"background_upload_key": upload_key},
    }
    await put_settings(shared_app, shop, swap)
    shared_app.product(b"x", shop=shop)
    await delivery_outcome(shared_app, shop, CREATE)
    (job,) = await jobs_of(shared_app, shop)
    stored = await shared_app.rows("SELECT key FROM uploads WHERE upload_key = :k", k=upload_key)
    assert job["request"]["background_upload_key"] == stored[0]["key"]


async def test_a_disabled_workflow_is_not_run(shared_app: RunningApp, shop: str) -> None:
    await put_settings(shared_app, shop, CATALOG_RULE, SPEC)
    product = await read(shared_app, shop, shared_app.product(b"x", shop=shop))
    shop_id = await shop_id_of(shared_app, shop)
    applied = await apply_rules(
        shared_app.database, shop_id, product, closed=frozenset({"catalog-image"})
    )
    assert len(applied.made) == 1
    assert [job["job_type"] for job in await jobs_of(shared_app, shop)] == [
        "BACKGROUND_SWAP_WITH_SPEC"
    ]


async def read(shared_app: RunningApp, shop: str, product: ProductRecord) -> ReadProduct:
    """The product as the Admin API tells of it."""
    admin = shared_app.handler_context.admin
    installed = await installed_shop(shared_app.database, admin, shop)
    assert installed is not None
    found = await admin.product(shop, installed.access_token, product.gid)
    assert found is not None
    return found


# How much


async def test_an_import_cannot_exceed_the_daily_cap(shared_app: RunningApp, shop: str) -> None:
    await put_settings(shared_app, shop, CATALOG_RULE, daily_credit_cap=5)
    for _ in range(30):
        shared_app.product(b"x", shop=shop)
        await shared_app.send(CREATE, shop=shop)
    await asyncio.gather(*(shared_app.drain(only_webhooks=True) for _ in range(3)))
    assert len(await jobs_of(shared_app, shop)) == 5
    assert (await get_settings(shared_app, shop))["credits_spent_today"] == 5


async def test_the_daily_cap_resets_the_next_day(shared_app: RunningApp, shop: str) -> None:
    await put_settings(shared_app, shop, CATALOG_RULE, daily_credit_cap=1)
    shared_app.product(b"x", shop=shop)
    assert await delivery_outcome(shared_app, shop, CREATE) == ("processed", "JOB")
    shared_app.product(b"x", shop=shop)
    assert await delivery_outcome(shared_app, shop, CREATE) == ("ignored", "DAILY_CAP_REACHED")
    assert (await get_settings(shared_app, shop))["credits_spent_today"] == 1
    await age_spending(shared_app, shop, 1)
    assert (await get_settings(shared_app, shop))["credits_spent_today"] == 0
    assert await delivery_outcome(shared_app, shop) == ("processed", "JOB")


async def test_a_product_gets_all_its_jobs_or_none(shared_app: RunningApp, shop: str) -> None:
    await put_settings(shared_app, shop, CATALOG_RULE, daily_credit_cap=6)
    shared_app.product(b"spends one", shop=shop)
    assert await delivery_outcome(shared_app, shop, CREATE) == ("processed", "JOB")
    await put_settings(shared_app, shop, CATALOG_RULE, SPEC, daily_credit_cap=6)
    shared_app.product(b"x", shop=shop)
    assert await delivery_outcome(shared_app, shop, CREATE) == ("ignored", "DAILY_CAP_REACHED")
    assert (len(await jobs_of(shared_app, shop)), await seen_pictures(shared_app, shop)) == (1, 1)
    await age_spending(shared_app, shop, 1)
    assert await delivery_outcome(shared_app, shop) == ("processed", "JOB")
    assert (len(await jobs_of(shared_app, shop)), await seen_pictures(shared_app, shop)) == (3, 2)


async def test_a_product_above_the_whole_cap_is_reported_as_such(
    shared_app: RunningApp, shop: str
) -> None:
    await put_settings(shared_app, shop, CATALOG_RULE, SPEC, daily_credit_cap=5)
    shared_app.product(b"x", shop=shop)
    assert await delivery_outcome(shared_app, shop, CREATE) == ("ignored", "OVER_DAILY_CAP")
    assert (await jobs_of(shared_app, shop), await seen_pictures(shared_app, shop)) == ([], 0)
    await put_settings(shared_app, shop, CATALOG_RULE, SPEC, daily_credit_cap=6)
    assert await delivery_outcome(shared_app, shop) == ("processed", "JOB")
    assert len(await jobs_of(shared_app, shop)) == 2


async def test_existing_jobs_are_not_part_of_the_price(shared_app: RunningApp, shop: str) -> None:
    await put_settings(shared_app, shop, CATALOG_RULE, daily_credit_cap=5)
    shared_app.product(b"x", shop=shop)
    await delivery_outcome(shared_app, shop, CREATE)
    await age_spending(shared_app, shop, 1)
    await put_settings(shared_app, shop, CATALOG_RULE, SPEC, daily_credit_cap=5)
    assert await delivery_outcome(shared_app, shop) == ("processed", "JOB")


async def seen_pictures(shared_app: RunningApp, shop: str) -> int:
    """How many products the shop's rules have met."""
    rows = await shared_app.rows(
        "SELECT 1 FROM seen_pictures p JOIN shops s ON s.id = p.shop_id WHERE s.domain = :d",
        d=shop,
    )
    return len(rows)


async def test_an_existing_job_costs_nothing(shared_app: RunningApp, shop: str) -> None:
    await put_settings(shared_app, shop, CATALOG_RULE, daily_credit_cap=1)
    shared_app.product(b"x", shop=shop)
    for _ in range(3):
        await delivery_outcome(shared_app, shop)
    today = datetime.now(UTC).date()
    async with shared_app.database.reading() as connection:
        shop_id = await shop_id_of(shared_app, shop)
        spent = [
            await amount_of(connection, shop_id, today - timedelta(days=ago), "rule_credits")
            for ago in (0, 1)
        ]
    assert sum(spent) == 1


async def test_a_rule_whose_catalog_entry_is_archived_stops_no_other_rule(
    shared_app: RunningApp, shop: str
) -> None:
    entry, key = await generated_entry(shared_app, shop=shop)
    try_on = {"workflow": "try-on", "parameters": {"model_id": entry.public_id}}
    async with app_with(shared_app, **WITH_ENGINES) as engines:
        assert (await put_settings(engines, shop, try_on, CATALOG_RULE)).status_code == 200
    shop_id = await shop_id_of(shared_app, shop)
    product = await read(shared_app, shop, shared_app.product(b"x", shop=shop))
    both = await apply_rules(shared_app.database, shop_id, product, closed=frozenset())
    assert len(both.made) == 2
    [job] = [each for each in await jobs_of(shared_app, shop) if each["job_type"] == "TRY_ON"]
    assert job["request"]["model_key"] == key
    await archive_row(shared_app, entry.public_id)
    product = await read(shared_app, shop, shared_app.product(b"y", shop=shop))
    one = await apply_rules(shared_app.database, shop_id, product, closed=frozenset())
    assert len(one.made) == 1


async def test_the_jobs_of_a_rule_store_the_products_category(
    shared_app: RunningApp, shop: str
) -> None:
    await put_settings(shared_app, shop, CATALOG_RULE)
    shared_app.shopify.create_product(shop, "Flora", b"x", product_type="Summer dresses")
    assert await delivery_outcome(shared_app, shop, CREATE) == ("processed", "JOB")
    [job] = await jobs_of(shared_app, shop)
    assert (job["category"], "category" in job["request"]) == ("dress", False)


async def test_a_rule_without_a_category_takes_the_one_that_the_product_tells(
    shared_app: RunningApp, shop: str
) -> None:
    await put_settings(shared_app, shop, {"workflow": "product-to-model-direct"})
    product = await read(shared_app, shop, shared_app.product(b"x", shop=shop))
    shop_id = await shop_id_of(shared_app, shop)
    for product_type, number, expected in (("Sommerkleider", 1, "dress"), ("Candles", 2, None)):
        typed = msgspec.structs.replace(
            product, gid=f"gid://shopify/Product/{number}", product_type=product_type, tags=[]
        )
        await apply_rules(shared_app.database, shop_id, typed, closed=frozenset())
        [job] = [
            each
            for each in await jobs_of(shared_app, shop)
            if each["request"]["product_id"] == typed.gid
        ]
        assert job["request"].get("category") == expected


async def test_a_job_of_a_rule_that_publishes_on_model_images_is_to_be_published(
    shared_app: RunningApp, shop: str
) -> None:
    rule = {"workflow": "product-to-model-direct", "publish": {"position": 2}}
    async with app_with(shared_app, engines="dress=fashn", fashn_api_key="none") as hosted:
        assert (await put_settings(hosted, shop, rule)).status_code == 200
    shop_id = await shop_id_of(shared_app, shop)
    product = await read(shared_app, shop, shared_app.product(b"x", shop=shop))
    await apply_rules(shared_app.database, shop_id, product, closed=frozenset())
    [job] = await jobs_of(shared_app, shop)
    assert job["publish"]["position"] == 2
