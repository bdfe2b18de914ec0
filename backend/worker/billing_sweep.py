"""Read from Shopify what shops have bought: renewals have no webhook, and webhooks can get lost.

A shop that never asked to buy anything is not read.
"""

from datetime import timedelta

import structlog
from sqlalchemy import and_, case, exists, func, or_, select

from backend.billing.charges import OPEN
from backend.billing.models import Purchase, Subscription
from backend.billing.sync import sync_billing
from backend.errors import DatabaseUnavailable, ShopifyUnavailable
from backend.shops.admin_api import ShopifyRefused
from backend.shops.models import Shop
from backend.shops.token_encryption import UnknownKey
from backend.shops.tokens import NeedsReauth
from backend.worker.context import WorkerContext

log = structlog.get_logger(__name__)

USUAL = timedelta(days=1)  # between two reads of a shop
SOON = timedelta(hours=1)  # the same, when something is expected
EXPECTED_FOR = timedelta(days=3)  # an open charge: Shopify lets it expire after two
MAX_SHOPS = 1000  # of one sweep; the others come first in the next
READ_PROBLEMS = (ShopifyUnavailable, ShopifyRefused, NeedsReauth, UnknownKey)


async def sweep_billing(context: WorkerContext) -> int:
    """Read the shops that are due, the longest unread first; how many lots were granted."""
    granted = 0
    for domain in await due_shops(context) if context.prices.is_sold else ():
        if context.stopping.is_set():
            break
        try:
            granted += await sync_billing(context.database, context.admin, context.prices, domain)
        except DatabaseUnavailable as error:
            log.warning("billing_sweep_interrupted", cause=repr(error)[:300])
            break
        except READ_PROBLEMS as error:
            log.warning("billing_not_read", shop=domain, cause=repr(error)[:300])
    return granted


async def due_shops(context: WorkerContext) -> list[str]:
    """The domains of the shops that are to be read now."""
    mine = Purchase.shop_id == Shop.id
    is_open = and_(mine, Purchase.status.in_(OPEN), Purchase.created_at > func.now() - EXPECTED_FOR)
    is_expected = or_(
        exists().where(is_open),
        and_(Subscription.status == "ACTIVE", Subscription.period_end <= func.now()),
    )
    pause = case((is_expected, SOON), else_=USUAL)
    found = (
        select(Shop.domain)
        .outerjoin(Subscription, Subscription.shop_id == Shop.id)
        .where(
            Shop.status == "installed",
            Shop.reauth_needed_at.is_(None),
            exists().where(mine),
            or_(Subscription.asked_at.is_(None), Subscription.asked_at <= func.now() - pause),
        )
        .order_by(Subscription.asked_at.nulls_first())
        .limit(MAX_SHOPS)
    )
    async with context.database.reading() as connection:
        return list(await connection.scalars(found))
