"""The charges that a shop asked for: requested from Shopify, and recognized in its answers.

The request is stored before Shopify is asked, under a name that no other charge has. If the answer
is lost, the charge is found by that name the next time Shopify is read. Its approval page is lost
with the answer: a merchant who repeats the request gets another charge, and the first one expires.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any

import msgspec
import structlog
from sqlalchemy import Row, exists, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.billing.grants import Paid, PaidPack, ShopPlan
from backend.billing.models import Purchase, Subscription
from backend.billing.periods import trial_end
from backend.billing.plans import Pack, Plan, PriceList
from backend.db import Database
from backend.errors import ChargeRefused, TooManyOpenCharges
from backend.jobs.ids import new_public_id
from backend.shops.admin_api import AdminApi
from backend.shops.billing_api import (
    AppSubscription,
    BillingState,
    Money,
    NewCharge,
    OneTimePurchase,
    create_purchase,
    create_subscription,
)
from backend.shops.media_api import MutationRefused
from backend.shops.tokens import InstalledShop, with_fresh_token

log = structlog.get_logger(__name__)

APPROVAL_TIME = timedelta(days=2)  # after which Shopify lets a charge expire
MAX_OPEN_CHARGES = 20  # of a shop; a read of Shopify sees the latest 50
OPEN = ("INTENT", "PENDING")
PURCHASE_COLUMNS = (
    Purchase.id,
    Purchase.name,
    Purchase.kind,
    Purchase.handle,
    Purchase.label,
    Purchase.credits,
    Purchase.interval,
    Purchase.trial_days,
    Purchase.trial_credits,
    Purchase.charge_gid,
    Purchase.status,
)


class Bought(msgspec.Struct, frozen=True, kw_only=True):
    """A charge as Shopify has it, and the row of the request that it came from."""

    charge: AppSubscription | OneTimePurchase
    purchase: Row[Any]

    @property
    def pack(self) -> PaidPack | None:
        """The pack, if it is one and paid."""
        if isinstance(self.charge, AppSubscription) or self.charge.status != "ACTIVE":
            return None
        return PaidPack(charge_id=self.charge.id, credits=self.purchase.credits)

    @property
    def plan(self) -> ShopPlan | None:
        """The plan, if it is one and gives credits."""
        charge, purchase = self.charge, self.purchase
        if isinstance(charge, OneTimePurchase) or charge.status != "ACTIVE":
            return None
        return ShopPlan(
            charge_id=charge.id,
            handle=purchase.handle,
            name=purchase.label,
            credits=purchase.credits,
            interval=purchase.interval,
            period_end=charge.current_period_end,
            trial_ends_at=trial_end(charge.created_at, purchase.trial_days)
            if purchase.trial_days
            else None,
            trial_credits=purchase.trial_credits,
        )


async def request_charge(
    database: Database,
    admin: AdminApi,
    shop: InstalledShop,
    item: Plan | Pack,
    *,
    return_url: str,
    is_test: bool,
) -> str:
    """Have Shopify create the charge, and return where the merchant approves it.

    Raises `TooManyOpenCharges`, `ChargeRefused`, `NeedsReauth`, `ShopifyRefused` and
    `ShopifyUnavailable`.
    """
    purchase_id = new_public_id()
    name = f"{item.name} · {purchase_id}"
    async with database.transaction(shop.domain) as connection:
        await store_intent(connection, shop.id, purchase_id, name, item, is_test=is_test)
    ask = creation_of(admin, item, name=name, return_url=return_url, is_test=is_test)
    try:
        charge = await with_fresh_token(database, admin, shop, ask)
    except MutationRefused as error:
        log.warning("charge_refused", shop=shop.domain, cause=error.message[:300])
        async with database.transaction(shop.domain) as connection:
            await note_charge(connection, shop.id, purchase_id, status="FAILED")
        raise ChargeRefused(f"Shopify refused to create the charge: {error.message}") from error
    async with database.transaction(shop.domain) as connection:
        await note_charge(connection, shop.id, purchase_id, status="PENDING", charge_gid=charge.gid)
    return charge.confirmation_url


def creation_of(
    admin: AdminApi, item: Plan | Pack, *, name: str, return_url: str, is_test: bool
) -> Callable[[InstalledShop], Awaitable[NewCharge]]:
    """The question that creates the charge."""
    assert item.price is not None, "the plans file was checked"
    price = Money(amount=item.price, currency_code=item.currency)

    async def subscribe(shop: InstalledShop) -> NewCharge:
        assert isinstance(item, Plan)
        return await create_subscription(
            admin,
            shop,
            name=name,
            price=price,
            interval=item.interval,
            trial_days=item.trial_days,
            return_url=return_url,
            is_test=is_test,
        )

    async def buy(shop: InstalledShop) -> NewCharge:
        return await create_purchase(
            admin, shop, name=name, price=price, return_url=return_url, is_test=is_test
        )

    return subscribe if isinstance(item, Plan) else buy


async def store_intent(
    connection: AsyncConnection,
    shop_id: int,
    purchase_id: str,
    name: str,
    item: Plan | Pack,
    *,
    is_test: bool,
) -> None:
    """Store what is about to be asked for. Raises `TooManyOpenCharges`."""
    open_charges = select(func.count()).where(
        Purchase.shop_id == shop_id,
        Purchase.status.in_(OPEN),
        Purchase.created_at > func.now() - APPROVAL_TIME,
    )
    if (await connection.execute(open_charges)).scalar_one() >= MAX_OPEN_CHARGES:
        raise TooManyOpenCharges
    of_a_plan = (
        {
            "interval": item.interval,
            "trial_days": item.trial_days,
            "trial_credits": item.trial_credits,
        }
        if isinstance(item, Plan)
        else {}
    )
    await connection.execute(
        insert(Purchase).values(
            shop_id=shop_id,
            id=purchase_id,
            kind="subscription" if isinstance(item, Plan) else "pack",
            handle=item.handle,
            label=item.name,
            name=name,
            credits=item.credits,
            price=item.price,
            currency=item.currency,
            test=is_test,
            **of_a_plan,
        )
    )


async def note_charge(
    connection: AsyncConnection, shop_id: int, purchase_id: str, **values: Any
) -> None:
    """Store what came of the request, unless a read of Shopify knows more already."""
    await connection.execute(
        update(Purchase)
        .where(
            Purchase.shop_id == shop_id,
            Purchase.id == purchase_id,
            Purchase.status == "INTENT",
        )
        .values(**values)
    )


async def paid_charges(
    connection: AsyncConnection, shop: InstalledShop, state: BillingState, prices: PriceList
) -> Paid:
    """What the shop has paid for.

    Of several active subscriptions, which Shopify does not allow, the newest counts.
    """
    known = await known_charges(connection, shop, state, prices)
    newest_first = sorted(known, key=lambda each: each.charge.created_at, reverse=True)
    return Paid(
        packs=[each.pack for each in known if each.pack is not None],
        plan=next((each.plan for each in newest_first if each.plan is not None), None),
        ended={each.id: each.status for each in state.all_subscriptions.nodes},
    )


async def known_charges(
    connection: AsyncConnection, shop: InstalledShop, state: BillingState, prices: PriceList
) -> list[Bought]:
    """The charges that this app asked for and that count, after their rows are up to date."""
    rows = await requests_of(connection, shop.id, state.charges)
    known: list[Bought] = []
    for charge in state.charges:
        purchase = rows.get(charge.name)
        if purchase is None:
            if charge.status == "ACTIVE":
                log.error("charge_unknown", shop=shop.domain, charge=charge.id, name=charge.name)
            continue
        await store_charge(connection, shop.id, purchase, charge)
        if charge.test and not prices.is_test:
            if charge.status == "ACTIVE":
                log.warning("test_charge_ignored", shop=shop.domain, charge=charge.id)
            continue
        known.append(Bought(charge=charge, purchase=purchase))
    await forget_unanswered(connection, shop.id)
    return known


async def requests_of(
    connection: AsyncConnection,
    shop_id: int,
    charges: Sequence[AppSubscription | OneTimePurchase],
) -> dict[str, Row[Any]]:
    """The shop's requests with the names of these charges."""
    names = [charge.name for charge in charges]
    found: Any = select(*PURCHASE_COLUMNS).where(
        Purchase.shop_id == shop_id, Purchase.name.in_(names)
    )
    return {row.name: row for row in await connection.execute(found)}


async def store_charge(
    connection: AsyncConnection,
    shop_id: int,
    purchase: Row[Any],
    charge: AppSubscription | OneTimePurchase,
) -> None:
    """Store the charge's status, and its price as Shopify tells it, if it has changed."""
    if (purchase.charge_gid, purchase.status) == (charge.id, charge.status):
        return
    values: dict[str, Any] = {
        "charge_gid": charge.id,
        "status": charge.status,
        "test": charge.test,
    }
    if charge.price is not None:
        values |= {"price": charge.price.amount, "currency": charge.price.currency_code}
    await connection.execute(
        update(Purchase)
        .where(Purchase.shop_id == shop_id, Purchase.id == purchase.id)
        .values(**values)
    )


async def forget_unanswered(connection: AsyncConnection, shop_id: int) -> None:
    """Let requests expire that Shopify never got, after a charge could have been approved."""
    await connection.execute(
        update(Purchase)
        .where(
            Purchase.shop_id == shop_id,
            Purchase.status == "INTENT",
            Purchase.created_at < func.now() - APPROVAL_TIME,
        )
        .values(status="EXPIRED")
    )


async def may_have_bought(connection: AsyncConnection, shop_id: int) -> bool:
    """Whether the merchant may have decided on a charge or a plan since Shopify was read."""
    open_charges = exists().where(
        Purchase.shop_id == shop_id,
        Purchase.status.in_(OPEN),
        Purchase.created_at > func.now() - APPROVAL_TIME,
    )
    choosing = exists().where(
        Subscription.shop_id == shop_id, Subscription.expected_until > func.now()
    )
    return bool(await connection.scalar(select(or_(open_charges, choosing))))


def without_trial(plan: Plan) -> Plan:
    """The plan for a shop that has had its trial."""
    return msgspec.structs.replace(plan, trial_days=0, trial_credits=0)
