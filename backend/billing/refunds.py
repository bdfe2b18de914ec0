"""Take back what is left of credits whose money Shopify has given back.

Refunds are given in the Partner Dashboard. Only the Partner API tells of them, by the charge that
was refunded. If a part of the money went back, the same part of the credits is taken, rounded down.
A charge that we cannot match, or whose amounts cannot be compared, is for the operator:
`atelier credits void`.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from fractions import Fraction

import structlog
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.credits.grants import GrantSource
from backend.credits.lots import is_released, void_lot, void_share
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
    history: Sequence[PartnerEvent],
) -> int:
    """Void what is left of the lots that were refunded; how many credits that are.

    `history` has all charges and refunds of the shop, the oldest first. Doing it again changes
    nothing: only lots that were granted before the refund are voided, and what was voided of them
    before counts.
    """
    charges = [event for event in history if event.event_type != REFUND]
    voided = 0
    for refund in refunds:
        charge = refunded_charge(refund, charges)
        if charge is None:
            log.error("refund_unmatched", shop_id=shop_id, charge=refund.earned_for)
        elif (share := refunded_share(charge, (*history, *refunds))) is None:
            log.error("refund_partial", shop_id=shop_id, charge=refund.earned_for)
        elif charge.event_type == RECURRING:
            refs = await refunded_periods(connection, shop_id, refund, charge, charges)
            voided += await void_lots(connection, shop_id, "plan", refs, share)
        else:
            refs = await refunded_packs(connection, shop_id, charge)
            voided += await void_lots(connection, shop_id, "pack", refs, share)
    return voided


def refunded_charge(refund: PartnerEvent, charges: Sequence[PartnerEvent]) -> PartnerEvent | None:
    """The charge that the refund is for."""
    return next(
        (each for each in charges if each.charge_id and each.charge_id == refund.earned_for), None
    )


def refunded_share(charge: PartnerEvent, history: Sequence[PartnerEvent]) -> Fraction | None:
    """How much of the charge all of its refunds gave back, 0..1 and exact.

    None if an amount is missing or in another currency.
    """
    refunds = {
        each.id: each.amount
        for each in history
        if each.event_type == REFUND and each.earned_for == charge.charge_id
    }
    paid = charge.amount
    back = [
        Fraction(abs(amount.amount))
        for amount in refunds.values()
        if paid and amount and amount.currency_code == paid.currency_code
    ]
    if paid is None or len(back) < len(refunds):
        return None
    whole = Fraction(1)
    return min(sum(back, Fraction(0)) / Fraction(abs(paid.amount)), whole) if paid.amount else whole


async def refunded_packs(
    connection: AsyncConnection, shop_id: int, charge: PartnerEvent
) -> list[str]:
    """The ref of the pack's lot that was paid by this charge.

    The Admin API has another form of the charge's id.
    """
    numbers = {number_in(charge.charge_id)}
    if charge.metadata is not None:
        numbers.add(number_in(charge.metadata.legacy_charge_id))
    packs = select(CreditGrant.ref).where(
        CreditGrant.shop_id == shop_id, CreditGrant.source == "pack"
    )
    found = [ref for ref in await connection.scalars(packs) if number_in(ref) in numbers]
    if not found:
        log.error("refund_unmatched", shop_id=shop_id, charge=charge.charge_id)
    return found


async def refunded_periods(
    connection: AsyncConnection,
    shop_id: int,
    refund: PartnerEvent,
    charge: PartnerEvent,
    charges: Sequence[PartnerEvent],
) -> list[str]:
    """What the plan granted for the period of this charge, before the refund: the lots' refs."""
    granted = select(CreditGrant.ref, CreditGrant.created_at).where(
        CreditGrant.shop_id == shop_id,
        CreditGrant.source == "plan",
        ~is_released(),
        CreditGrant.created_at >= charge.occurred_at - CLOCK_SLACK,
        CreditGrant.created_at < refund.occurred_at,
    )
    rows = (await connection.execute(granted)).all()
    refs = [row.ref for row in rows if period_charge(row.created_at, charges) is charge]
    if not refs:
        log.error("refund_unmatched", shop_id=shop_id, charge=charge.charge_id)
    return refs


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
    connection: AsyncConnection,
    shop_id: int,
    source: GrantSource,
    refs: Sequence[str],
    share: Fraction,
) -> int:
    """Void that share of them; how many credits that were."""
    voided = 0
    for ref in refs:
        if share < 1:
            voided += await void_share(connection, shop_id, source=source, ref=ref, share=share)
        else:
            voided += await void_lot(connection, shop_id, source=source, ref=ref)
    return voided


def number_in(charge_id: str | None) -> str | None:
    """The number of a charge, which is the last part of each form of its id."""
    return charge_id and charge_id.rpartition("/")[2].partition("?")[0]
