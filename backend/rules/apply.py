"""Applies a shop's rules to the current state of a product: each job once per image.

Shopify delivers webhooks late, twice and in any order. So nothing here depends on a delivery's
content: the same product makes the same jobs, whoever calls this and how often.
"""

from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any

import httpx
import msgspec
import structlog
from sqlalchemy import Row, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.db import Database
from backend.errors import InsufficientBalance, InvalidRequest, StorageQuotaReached, TooManyOpenJobs
from backend.jobs.asked_by import AskedBy
from backend.jobs.creation import stored_request
from backend.jobs.daily_quotas import RULE_CREDITS, is_within
from backend.jobs.prices import price_of
from backend.jobs.service import JobRef, natural_key, request_job
from backend.publications.queries import has_published
from backend.rules.keys import is_made, keys_of
from backend.rules.models import SeenPicture
from backend.rules.own_images import has_own_bytes, is_own_image, remember
from backend.rules.schemas import AutoPublish, ProductFilter, Trigger
from backend.rules.settings import (
    StoredRule,
    StoredSettings,
    settings_of,
    settings_row,
    workflow_of,
)
from backend.settings import UNLIMITED, Quotas
from backend.shops.billing_refresh import NO_BILLING, BillingRefresh, with_refresh
from backend.shops.models import Shop
from backend.shops.shopify_responses import Product, ProductImage
from backend.workflows.compatibility import category_for

log = structlog.get_logger(__name__)

MAX_ALT_CHARACTERS = 512  # Shopify's limit
WITHOUT_WEBHOOK = AskedBy(kind="rule")
LIMITS = (TooManyOpenJobs, StorageQuotaReached, InsufficientBalance)  # they may pass
TOO_MUCH_TODAY, TOO_MUCH_EVER = "DAILY_CAP_REACHED", "OVER_DAILY_CAP"


class CapReached(Exception):
    """The jobs cost more than the rules may spend, today or ever; the text is the note."""


class NotCompared(Exception):
    """The image may be one that we published, which only its bytes can tell."""


class Applied(msgspec.Struct, frozen=True, kw_only=True):
    """The result: `note` lists the jobs that were `made`, or says why there are none."""

    note: str
    made: tuple[str, ...] = ()

    @property
    def is_capped(self) -> bool:
        """Whether a limit was reached that may allow the jobs later."""
        return self.note in {TOO_MUCH_TODAY, *(error.code for error in LIMITS)}

    @property
    def is_over_cap(self) -> bool:
        """Whether the jobs cost more than the whole daily cap."""
        return self.note == TOO_MUCH_EVER


async def apply_rules(
    database: Database,
    shop_id: int,
    product: Product,
    *,
    closed: frozenset[str],
    quotas: Quotas = UNLIMITED,
    files: httpx.AsyncClient | None = None,
    asked_by: AskedBy = WITHOUT_WEBHOOK,
    billing_refresh: BillingRefresh = NO_BILLING,
    shop_domain: str = "",
) -> Applied:
    """Create all the jobs that the shop's rules want for the product, or none.

    `closed` names workflows that are not offered. `worker.product_sweep` creates later what a limit
    prevents now. `files` downloads from Shopify's CDN; without it, no image is compared with those
    we published. `asked_by` names the webhook. `billing_refresh` looks for new credits of the shop
    with that domain before it has too few.
    """
    image = product.image
    if image is None:
        return Applied(note="NO_IMAGE")
    make = partial(
        made_for_image,
        database,
        shop_id,
        product,
        image,
        closed=closed,
        quotas=quotas,
        asked_by=asked_by,
    )
    apply = partial(apply_to_image, make, billing_refresh, shop_domain)
    try:
        return await apply(is_ours=False if files is None else None)
    except NotCompared:  # the image is downloaded while no transaction is open
        assert files is not None
    return await apply(is_ours=await has_own_bytes(database, files, shop_id, image))


async def apply_to_image(
    make: Callable[..., Awaitable[Applied]],
    billing_refresh: BillingRefresh,
    shop_domain: str,
    *,
    is_ours: bool | None,
) -> Applied:
    """The same, with a limit that was reached as the note.

    Raises `NotCompared` if `is_ours` is None and matters.
    """
    try:
        return await with_refresh(billing_refresh, shop_domain, partial(make, is_ours=is_ours))
    except CapReached as reached:
        return Applied(note=str(reached))
    except LIMITS as error:
        return Applied(note=error.code)


async def made_for_image(
    database: Database,
    shop_id: int,
    product: Product,
    image: ProductImage,
    *,
    closed: frozenset[str],
    quotas: Quotas,
    asked_by: AskedBy,
    is_ours: bool | None,
) -> Applied:
    """Create the jobs in one transaction. Raises as `applied` does."""
    async with database.transaction(shop_id) as connection:
        return await applied(
            connection,
            shop_id,
            product,
            image,
            closed=closed,
            quotas=quotas,
            asked_by=asked_by,
            is_ours=is_ours,
        )


async def applied(
    connection: AsyncConnection,
    shop_id: int,
    product: Product,
    image: ProductImage,
    *,
    closed: frozenset[str],
    quotas: Quotas,
    asked_by: AskedBy,
    is_ours: bool | None,
) -> Applied:
    """Create the jobs in the caller's transaction.

    Raises `CapReached`, `NotCompared` or one of `LIMITS`; the caller must roll back then.
    """
    if await is_own_image(connection, shop_id, image):
        return Applied(note="OWN_MEDIA")
    shop = await settings_row(connection, Shop.id == shop_id, Shop.status == "installed")
    if shop is None:
        return Applied(note="SHOP_NOT_INSTALLED")
    source = natural_key(image.media_gid, image.url)
    trigger = await trigger_of(connection, shop, product, source)
    settings = settings_of(shop)
    wanted = list(rules_for(settings, trigger, product, closed))
    if not wanted:
        return Applied(note="NO_RULE")
    missing = await not_made(connection, shop, wanted, product, image)
    if missing and is_ours is None and await has_published(connection, shop.id):
        raise NotCompared
    if missing and is_ours:
        await remember(connection, shop.id, missing)
        return Applied(note="OWN_MEDIA")
    if (
        sum(price_of(workflow_of(rule), quotas) for rule in missing.values())
        > settings.daily_credit_cap
    ):
        raise CapReached(TOO_MUCH_EVER)
    if not quotas.has_room_left(shop.stored_bytes):
        raise StorageQuotaReached
    made = []
    for key, rule in missing.items():
        ref = await run_rule(
            connection,
            shop,
            rule,
            product,
            image,
            key=key,
            asked_by=msgspec.structs.replace(
                asked_by, rule=position_of(rule, settings), trigger=trigger
            ),
            quotas=quotas,
        )
        if ref is not None:
            price = price_of(workflow_of(rule), quotas)
            await spend(connection, shop, price, settings.daily_credit_cap)
            made.append(ref.public_id)
    return Applied(note=f"JOB {', '.join(made)}" if made else "ALREADY_MADE", made=tuple(made))


async def trigger_of(
    connection: AsyncConnection, shop: Row[Any], product: Product, source: str
) -> Trigger:
    """What triggered the rules for this image; stored, so that it stays the same.

    A product that is newer than the shop's first installation counts as created, whichever webhook
    comes first.
    """
    key = {"shop_id": shop.id, "product_id": product.gid}
    found = select(SeenPicture.source, SeenPicture.trigger).where(
        SeenPicture.shop_id == shop.id, SeenPicture.product_id == product.gid
    )
    seen = (await connection.execute(found)).one_or_none()
    if seen is not None and seen.source == source:
        known: Trigger = seen.trigger
        return known
    joined_at = shop.joined_at.replace(microsecond=0)  # Shopify has whole seconds
    is_first = seen is None and product.created_at >= joined_at
    trigger: Trigger = "product_created" if is_first else "image_changed"
    values = {"source": source, "trigger": trigger}
    await connection.execute(
        upsert(SeenPicture)
        .values(**key, **values)
        .on_conflict_do_update(index_elements=["shop_id", "product_id"], set_=values)
    )
    return trigger


def rules_for(
    settings: StoredSettings, trigger: Trigger, product: Product, closed: frozenset[str]
) -> Iterable[StoredRule]:
    """The rules that apply to the product."""
    return (
        each
        for each in settings.rules
        if trigger in each.rule.on
        and workflow_of(each.rule).name not in closed
        and admits(each.rule.filter, product)
    )


def admits(filter_: ProductFilter, product: Product) -> bool:
    """Whether the product matches an entry of each list that is not empty."""
    return all(
        not wanted or not {each.casefold() for each in wanted}.isdisjoint(has)
        for wanted, has in (
            (filter_.statuses, {product.status.casefold()}),
            (filter_.vendors, {product.vendor.casefold()}),
            (filter_.product_types, {product.product_type.casefold()}),
            (filter_.tags, {tag.casefold() for tag in product.tags}),
        )
    )


async def not_made(
    connection: AsyncConnection,
    shop: Row[Any],
    rules: Iterable[StoredRule],
    product: Product,
    image: ProductImage,
) -> dict[str, Any]:
    """The rules whose job does not exist yet, by the job's natural key."""
    missing = {}
    for each in rules:
        keys = keys_of(workflow_of(each.rule), product, image, each.parameters)
        if not await is_made(connection, shop.id, keys):
            missing[keys[0]] = each.rule
    return missing


async def run_rule(
    connection: AsyncConnection,
    shop: Row[Any],
    rule: Any,
    product: Product,
    image: ProductImage,
    *,
    key: str,
    asked_by: AskedBy,
    quotas: Quotas,
) -> JobRef | None:
    """Create the rule's job; None if it was created concurrently or names an image that is gone."""
    try:
        stored = await stored_request(connection, shop.id, rule.parameters)
    except InvalidRequest:  # such as an entry of the catalog that has been archived since
        log.warning("rule_names_missing_image", workflow=workflow_of(rule).name)
        return None
    workflow = workflow_of(rule)
    guess = category_for(workflow.name, product.product_type, product.tags)
    takes_it = guess and "category" in workflow.parameters.__struct_fields__
    return await request_job(
        connection,
        workflow,
        shop_id=shop.id,
        request={
            "product_id": product.gid,
            "media_id": image.media_gid,
            "source_url": image.download_url,
            **({"category": guess} if takes_it else {}),
            **stored,
        },
        origin="webhook",
        natural_key=key,
        publish=wish(rule, product),
        asked_by=asked_by,
        product_title=product.stored_title,
        category=stored.get("category") or guess,
        quotas=quotas,
    )


def position_of(rule: Any, settings: StoredSettings) -> int:
    """The rule's position in the settings, from 0."""
    return [each.rule for each in settings.rules].index(rule)


async def spend(connection: AsyncConnection, shop: Row[Any], price: int, cap: int) -> None:
    """Count the price of a rule's job against the shop's day. Raises `CapReached`."""
    if not await is_within(connection, shop.id, shop.today, RULE_CREDITS, amount=price, cap=cap):
        raise CapReached(TOO_MUCH_TODAY)


def wish(rule: Any, product: Product) -> dict[str, Any] | None:
    """What to publish once the job has succeeded; None leaves it to the merchant."""
    publish: AutoPublish | None = rule.publish
    if publish is None:
        return None
    title = " ".join(product.title.split())
    return {"position": publish.position, "alt": title[:MAX_ALT_CHARACTERS] or None}
