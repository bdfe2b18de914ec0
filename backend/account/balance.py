"""`/v1/credits`: the shop's balance with its lots, in one read."""

from typing import Any

from sqlalchemy import FromClause, Select, func, literal_column, select, true

from backend.account.schemas import MOST_LOTS, CreditsResponse, CurrentPlan, LotResponse
from backend.billing.models import Subscription
from backend.credits.accounts import is_spendable
from backend.credits.models import CreditAccount, CreditGrant
from backend.db import Database, Query
from backend.errors import ShopNotInstalled
from backend.jobs.queries import SHOP_DOMAIN
from backend.tenancy import SHOPS, entered_shop

PLAN_FIELDS = CurrentPlan.__struct_fields__


def balance_and_lots() -> Select[Any]:
    """A row for each lot that jobs may take from; no row if the shop is not installed.

    One row of nulls if there is no lot. Lots that have expired do not count, closed or not.
    """
    shop = entered_shop(SHOP_DOMAIN, SHOPS.c.status == "installed")
    lot = (
        select(CreditGrant.id, CreditGrant.source, CreditGrant.remaining, CreditGrant.expires_at)
        .where(CreditGrant.shop_id == shop.c.id, is_spendable())
        .order_by(*spending_order(CreditGrant))
        .limit(literal_column(str(MOST_LOTS)))
        .lateral("lot")
    )
    plan: Any = (
        select(*(getattr(Subscription, name).label(f"plan_{name}") for name in PLAN_FIELDS))
        .where(Subscription.shop_id == shop.c.id)
        .lateral("plan")
    )
    columns: Select[Any] = select(
        available_credits(shop).label("available"), held_credits(shop).label("held"), lot, plan
    )
    found: Any = columns.select_from(shop).outerjoin(plan, true()).outerjoin(lot, true())
    rows: Select[Any] = found.order_by(*spending_order(lot.c))
    return rows


def spending_order(lot: Any) -> tuple[Any, ...]:
    """The order in which jobs take from lots, as the trigger `hold_credits` has it."""
    sources: Any = literal_column("ARRAY['trial', 'plan', 'pack', 'manual']")
    return func.array_position(sources, lot.source), lot.expires_at.nulls_last(), lot.id


def available_credits(shop: FromClause) -> Any:
    """What the shop may spend now."""
    total = func.coalesce(func.sum(CreditGrant.remaining), 0)
    mine = select(total).where(CreditGrant.shop_id == shop.c.id, is_spendable())
    return mine.correlate(shop).scalar_subquery()


def held_credits(shop: FromClause) -> Any:
    """What its unfinished jobs hold; null if it has no account."""
    mine = select(CreditAccount.held).where(CreditAccount.shop_id == shop.c.id)
    return mine.correlate(shop).scalar_subquery()


async def read_balance(database: Database, *, shop_domain: str, unlimited: bool) -> CreditsResponse:
    """The balance, its lots and the plan. Raises `ShopNotInstalled`."""
    rows = await database.rows(BALANCE, shop_domain=shop_domain)
    if not rows:
        raise ShopNotInstalled
    return CreditsResponse(
        available=rows[0]["available"],
        held=rows[0]["held"] or 0,
        unlimited=unlimited,
        lots=[
            LotResponse(
                source=row["source"], remaining=row["remaining"], expires_at=row["expires_at"]
            )
            for row in rows
            if row["id"] is not None
        ],
        plan=plan_of(rows[0]),
    )


def plan_of(row: Any) -> CurrentPlan | None:
    """The shop's plan as Shopify last told us; None if it has none."""
    if row["plan_handle"] is None:
        return None
    return CurrentPlan(**{name: row[f"plan_{name}"] for name in PLAN_FIELDS})


BALANCE = Query(balance_and_lots)
