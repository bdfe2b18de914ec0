"""Take back what is left of credits whose money Shopify has given back.

Refunds are given in the Partner Dashboard. Only the Partner API tells of them, by the charge that
was refunded. A charge that we cannot match, and one that was refunded in part, is for the operator:
`atelier credits void`.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

import structlog
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.billing.models import Purchase
from backend.credits.grants import GrantSource
from backend.credits.lots import void_lot
from backend.credits.models import CreditGrant
from backend.shops.partner_responses import PartnerEvent

log = structlog.get_logger(__name__)

REFUND = "EARNING_REFUND"
ONE_TIME, RECURRING = "CHARGE_ONE_TIME", "CHARGE_RECURRING"
CLOCK_SLACK = timedelta(days=1)  # a period's credits may be granted before Shopify notes its charge


async def void_refunded(
    connection: AsyncConnection,
    shop_id: int,
    refunds: Sequence[PartnerEvent],
    charges: Sequence[PartnerEvent],
) -> int:
    """Void what is left of the lots that were refunded; how many credits that are.

    `charges` are all of the shop's. Doing it again changes nothing: only lots that were granted
    before the refund are voided, each once.
    """
    voided = 0
    for refund in refunds:
        charge = refunded_charge(refund, charges)
        if charge is None:
            log.error("refund_unmatched", shop_id=shop_id, charge=refund.earned_for)
        elif is_partial(refund, charge):
            log.error("refund_partial", shop_id=shop_id, charge=refund.earned_for)
        elif charge.event_type == RECURRING:
            voided += await void_period(connection, shop_id, refund, charge, charges)
        else:
            voided += await void_pack(connection, shop_id, charge)
    return voided


def refunded_charge(refund: PartnerEvent, charges: Sequence[PartnerEvent]) -> PartnerEvent | None:
    """The charge that the refund is for."""
    return next(
        (each for each in charges if each.charge_id and each.charge_id == refund.earned_for), None
    )


def is_partial(refund: PartnerEvent, charge: PartnerEvent) -> bool:
    """Whether less than the whole charge went back."""
    if refund.amount is None or charge.amount is None:
        return True
    return abs(refund.amount.amount) < abs(charge.amount.amount)


async def void_pack(connection: AsyncConnection, shop_id: int, charge: PartnerEvent) -> int:
    """Void the pack that was paid by this charge. The Admin API has another form of its id."""
    numbers = {number_in(charge.charge_id)}
    if charge.metadata is not None:
        numbers.add(number_in(charge.metadata.legacy_charge_id))
    packs = select(Purchase.charge_gid).where(
        Purchase.shop_id == shop_id, Purchase.kind == "pack", Purchase.charge_gid.is_not(None)
    )
    found = [gid for gid in await connection.scalars(packs) if gid and number_in(gid) in numbers]
    if not found:
        log.error("refund_unmatched", shop_id=shop_id, charge=charge.charge_id)
    return await void_lots(connection, shop_id, "pack", found)


async def void_period(
    connection: AsyncConnection,
    shop_id: int,
    refund: PartnerEvent,
    charge: PartnerEvent,
    charges: Sequence[PartnerEvent],
) -> int:
    """Void what the plan has granted for the period of this charge, before the refund."""
    granted = select(CreditGrant.ref, CreditGrant.created_at).where(
        CreditGrant.shop_id == shop_id,
        CreditGrant.source == "plan",
        CreditGrant.created_at >= charge.occurred_at - CLOCK_SLACK,
        CreditGrant.created_at < refund.occurred_at,
    )
    rows = (await connection.execute(granted)).all()
    refs = [row.ref for row in rows if period_charge(row.created_at, charges) is charge]
    if not refs:
        log.error("refund_unmatched", shop_id=shop_id, charge=charge.charge_id)
    return await void_lots(connection, shop_id, "plan", refs)


def period_charge(granted_at: datetime, charges: Sequence[PartnerEvent]) -> PartnerEvent | None:
    """The charge whose period a plan's credits were granted for; `charges` are the oldest first.

    It is the one before, which may be minutes old after a change to a larger plan. If that is older
    than a day, it may be the next one, which Shopify noted later.
    """
    paid = [each for each in charges if each.event_type == RECURRING]
    before = [each for each in paid if each.occurred_at <= granted_at]
    if before and granted_at - before[-1].occurred_at <= CLOCK_SLACK:
        return before[-1]
    later = [each for each in paid if granted_at < each.occurred_at <= granted_at + CLOCK_SLACK]
    return next(iter(later or before[-1:]), None)


async def void_lots(
    connection: AsyncConnection, shop_id: int, source: GrantSource, refs: Sequence[str]
) -> int:
    """Void them; how many credits were left."""
    voided = 0
    for ref in refs:
        voided += await void_lot(connection, shop_id, source=source, ref=ref)
    return voided


def number_in(charge_id: str | None) -> str | None:
    """The number of a charge, which is the last part of each form of its id."""
    return charge_id and charge_id.rpartition("/")[2].partition("?")[0]
