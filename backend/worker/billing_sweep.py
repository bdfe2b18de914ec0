"""Read from Shopify what shops have bought: renewals have no webhook, and webhooks can get lost.

A shop that never asked to buy anything is not read. Of App Pricing, which has four requests a
second for all shops, those are read whose state may have changed.
"""

from datetime import timedelta

import structlog
from sqlalchemy import ColumnElement, and_, case, exists, false, func, or_, select

from backend.billing.charges import OPEN
from backend.billing.models import PlanPeriod, Purchase, Subscription
from backend.billing.sync import ACTIVE, sync_billing
from backend.errors import DatabaseUnavailable, ShopifyUnavailable
from backend.shops.admin_api import ShopifyRefused
from backend.shops.models import Shop
from backend.shops.token_encryption import UnknownKey
from backend.shops.tokens import NeedsReauth
from backend.worker.context import WorkerContext
from backend.worker.partner_feed import read_partner_events

log = structlog.get_logger(__name__)

USUAL = timedelta(days=1)  # between two reads of a shop
UNCHANGED = timedelta(days=7)  # the same with App Pricing, where nothing seems to have changed
SOON = timedelta(hours=1)  # the same, when something is expected
EXPECTED_FOR = timedelta(days=3)  # an open charge: Shopify lets it expire after two
MAX_SHOPS = 1000  # of one sweep; the others come first in the next
READ_PROBLEMS = (ShopifyUnavailable, ShopifyRefused, NeedsReauth, UnknownKey)


async def sweep_billing(context: WorkerContext) -> int:
    """Read the shops that are due, the longest unread first; how many lots were granted."""
    granted = 0
    await catch_up_with_partner(context)
    for domain in await due_shops(context) if context.prices.is_sold else ():
        if context.stopping.is_set():
            break
        try:
            granted += await sync_billing(
                context.database,
                context.admin,
                context.prices,
                domain,
                partner=context.partner,
            )
        except DatabaseUnavailable as error:
            log.warning("billing_sweep_interrupted", cause=repr(error)[:300])
            break
        except READ_PROBLEMS as error:
            log.warning("billing_not_read", shop=domain, cause=repr(error)[:300])
    return granted


async def catch_up_with_partner(context: WorkerContext) -> None:
    """Read the history of all shops. If it cannot be read, those that are due are read anyway."""
    try:
        await read_partner_events(context)
    except (DatabaseUnavailable, *READ_PROBLEMS) as error:
        log.warning("partner_events_not_read", cause=repr(error)[:300])


async def due_shops(context: WorkerContext) -> list[str]:
    """The domains of the shops that are to be read now."""
    is_known, is_expected, usual = contracts_due() if context.prices.is_managed else charges_due()
    pause = case((is_expected, SOON), else_=usual)
    found = (
        select(Shop.domain)
        .outerjoin(Subscription, Subscription.shop_id == Shop.id)
        .where(
            Shop.status == "installed",
            is_known,
            or_(Subscription.asked_at.is_(None), Subscription.asked_at <= func.now() - pause),
        )
        .order_by(Subscription.asked_at.nulls_first())
        .limit(MAX_SHOPS)
    )
    async with context.database.reading() as connection:
        return list(await connection.scalars(found))


def charges_due() -> tuple[ColumnElement[bool], ColumnElement[bool], timedelta]:
    """Of the Billing API: which shops are read at all, which soon, and how often the others."""
    mine = Purchase.shop_id == Shop.id
    is_open = and_(mine, Purchase.status.in_(OPEN), Purchase.created_at > func.now() - EXPECTED_FOR)
    is_known = and_(Shop.reauth_needed_at.is_(None), exists().where(mine))
    return is_known, or_(exists().where(is_open), period_is_over()), USUAL


def contracts_due() -> tuple[ColumnElement[bool], ColumnElement[bool], timedelta]:
    """The same of App Pricing. Of a paid year, each month is due."""
    mine = PlanPeriod.shop_id == Shop.id
    running = and_(mine, PlanPeriod.ends_at > func.now())
    month_is_over = and_(
        Subscription.status == ACTIVE, exists().where(mine), ~exists().where(running)
    )
    is_chosen = func.coalesce(Subscription.expected_until > func.now(), false())
    is_known = or_(is_chosen, Subscription.handle.is_not(None))
    return is_known, or_(is_chosen, period_is_over(), month_is_over), UNCHANGED


def period_is_over() -> ColumnElement[bool]:
    """Whether what was last read of the shop's plan has passed."""
    return and_(Subscription.status == ACTIVE, Subscription.period_end <= func.now())
