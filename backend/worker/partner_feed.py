"""What the Partner API's history says: whose plan may have changed, and which money went back.

App Pricing has no webhooks. One question an hour for all shops takes their place: a shop that it
names is read as any other. The mark moves when all of it has been dealt with; what is read twice
changes nothing. A shop whose own history Shopify refuses keeps the mark at its refund for a day,
and no other shop waits for it. Then it is for the operator.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from http import HTTPStatus

import structlog
from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from backend.billing.models import Subscription
from backend.billing.refunds import ONE_TIME, RECURRING, REFUND, void_refunded
from backend.db import Database
from backend.metrics import REFUNDS_NOT_READ, increment
from backend.shops.admin_api import ShopifyRefused
from backend.shops.models import PartnerState, Shop
from backend.shops.partner_api import HISTORY, PartnerApi
from backend.shops.partner_responses import PartnerEvent
from backend.worker.context import WorkerContext

log = structlog.get_logger(__name__)

OVERLAP = timedelta(hours=1)  # read again: an event may appear later than it happened
REFUSED_FOR = timedelta(days=1)  # that a refused refund is tried again each hour
READ_FOR = timedelta(hours=3)  # that a shop is read each hour after an event
PLAN_CHANGES = (
    "SUBSCRIPTION_CREATED",
    "SUBSCRIPTION_UPDATED",
    "SUBSCRIPTION_CANCELED",
    "SUBSCRIPTION_FROZEN",
    "SUBSCRIPTION_UNFROZEN",
)


async def read_partner_events(context: WorkerContext) -> int:
    """Have changed shops read, and void what was refunded; how many credits were voided.

    Does nothing without the Partner API. Raises `ShopifyUnavailable`, `ShopifyRefused` and
    `DatabaseUnavailable`: the next call then begins at the same mark.
    """
    partner = context.partner
    if partner is None:
        return 0
    begun = datetime.now(UTC)
    types = (REFUND, *PLAN_CHANGES) if context.prices.is_managed else (REFUND,)
    since = await history_mark(context.database)
    events = await partner.events(context.database, types, since=max(since, begun - HISTORY))
    await expect_changes(context.database, [e for e in events if e.event_type != REFUND])
    refunds = [event for event in events if event.event_type == REFUND]
    voided, refused = await void_refunds(context.database, partner, refunds)
    again = [each.occurred_at for each in refused if each.occurred_at > begun - REFUSED_FOR]
    await move_history_mark(context.database, min([begun, *again]) - OVERLAP)
    return voided


async def history_mark(database: Database) -> datetime:
    """The time up to which the history was read."""
    async with database.reading() as connection:
        return (await connection.execute(select(PartnerState.events_read_until))).scalar_one()


async def move_history_mark(database: Database, until: datetime) -> None:
    """Move the mark; never backwards."""
    moved = update(PartnerState).where(PartnerState.events_read_until < until)
    async with database.transaction() as connection:
        await connection.execute(moved.values(events_read_until=until))


async def expect_changes(database: Database, events: Sequence[PartnerEvent]) -> None:
    """Have the next sweeps read the shops of these events."""
    for shop_id, _ in (await shops_of(database, events)).values():
        values = {"expected_until": func.now() + READ_FOR, "asked_at": None}
        expected = (
            upsert(Subscription)
            .values(shop_id=shop_id, **values)
            .on_conflict_do_update(index_elements=["shop_id"], set_=values)
        )
        async with database.transaction(shop_id) as connection:
            await connection.execute(expected)


async def void_refunds(
    database: Database, partner: PartnerApi, refunds: Sequence[PartnerEvent]
) -> tuple[int, list[PartnerEvent]]:
    """Void what was refunded, shop by shop.

    How many credits that are, and the refunds of shops whose history Shopify refused.
    """
    by_shop = defaultdict(list)
    for refund in refunds:
        if refund.shop is not None:
            by_shop[refund.shop.id].append(refund)
    voided, refused = 0, list[PartnerEvent]()
    for gid, (shop_id, domain) in (await shops_of(database, refunds)).items():
        since = datetime.now(UTC) - HISTORY
        types = (ONE_TIME, RECURRING, REFUND)
        try:
            history = await partner.events(database, types, since=since, shop_gid=gid)
        except ShopifyRefused as error:
            if error.answered == HTTPStatus.UNAUTHORIZED:  # the token, not this shop
                raise
            log.error(
                "refund_not_read",
                shop=domain,
                charges=[refund.earned_for for refund in by_shop[gid]],
                cause=repr(error)[:300],
            )
            increment(REFUNDS_NOT_READ)
            refused += by_shop[gid]
            continue
        async with database.transaction(shop_id) as connection:
            left = await void_refunded(connection, shop_id, by_shop[gid], history)
        if left:
            log.info("refund_voided", shop=domain, credits=left)
        voided += left
    return voided, refused


async def shops_of(
    database: Database, events: Sequence[PartnerEvent]
) -> dict[str, tuple[int, str]]:
    """The ids and domains of the shops that the events are about, by Shopify's id."""
    gids = {event.shop.id for event in events if event.shop is not None}
    found = select(Shop.shopify_gid, Shop.id, Shop.domain).where(Shop.shopify_gid.in_(gids))
    async with database.reading() as connection:
        rows = (await connection.execute(found)).all()
    return {row.shopify_gid: (row.id, row.domain) for row in rows}
