"""What a merchant can buy, and asks to buy."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import structlog
from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.billing.charges import request_charge, without_trial
from backend.billing.contracts import expect_choice
from backend.billing.models import Subscription
from backend.billing.plans import Offer, Pack, Plan, PriceList
from backend.billing.schemas import (
    ConfirmationResponse,
    PackResponse,
    PlanResponse,
    PlansResponse,
)
from backend.billing.sync import sync_billing
from backend.credits.trials import has_had_trial
from backend.db import Database
from backend.errors import (
    BillingDisabled,
    ChargeRefused,
    InvalidRequest,
    PacksNotSold,
    PlanAlreadyActive,
    ShopifyUnavailable,
    ShopNotInstalled,
)
from backend.shops.admin_api import AdminApi, ShopifyRefused
from backend.shops.models import Shop
from backend.shops.partner_api import PartnerApi
from backend.shops.service import installed_id
from backend.shops.tokens import NeedsReauth, installed_shop

log = structlog.get_logger(__name__)

CHARGE_SECONDS = 15  # for the whole request: tokens, and the mutation
TOKEN_OVER = "Open the app in Shopify's admin, then try again."


class BillingServices(msgspec.Struct, frozen=True, kw_only=True):
    """What selling needs. `admin_url` is of Shopify's admin; `client_id` and `handle` the app's."""

    prices: PriceList
    admin_url: str
    client_id: str
    handle: str
    partner: PartnerApi | None

    def return_url(self, shop_domain: str) -> str:
        """The app's plan page inside the admin, where Shopify sends the merchant afterwards.

        Outside the admin the page would have no session.
        """
        return f"{self.store_url(shop_domain)}/apps/{self.client_id}/plan"

    def pricing_url(self, shop_domain: str) -> str:
        """Shopify's own page of the app's plans, for App Pricing."""
        return f"{self.store_url(shop_domain)}/charges/{self.handle}/pricing_plans"

    def store_url(self, shop_domain: str) -> str:
        """The shop in Shopify's admin."""
        return f"{self.admin_url}/store/{shop_domain.removesuffix('.myshopify.com')}"


async def offered_plans(
    connection: AsyncConnection, prices: PriceList, shop_domain: str
) -> PlansResponse:
    """What the shop can buy now. Raises `ShopNotInstalled`."""
    shop = await billed_shop(connection, shop_domain)
    had_trial = await had_its_trial(connection, shop)
    plans = [without_trial(plan) if had_trial else plan for plan in prices.plans]
    return PlansResponse(
        plans=[
            PlanResponse(**msgspec.structs.asdict(plan), current=has_plan(shop, plan))
            for plan in plans
        ],
        packs=[PackResponse(**msgspec.structs.asdict(pack)) for pack in prices.packs],
    )


async def subscribe(
    database: Database, admin: AdminApi, services: BillingServices, shop_domain: str, handle: str
) -> ConfirmationResponse:
    """Ask Shopify for a subscription to the plan; it replaces the shop's current one.

    What the shop has is read first: an uninstall, for one, cancels a plan without a word.

    Raises `BillingDisabled`, `InvalidRequest`, `PlanAlreadyActive`, and what `bought` raises.
    """
    plan = offered(services.prices, services.prices.plan(handle), "plan")
    if services.prices.is_managed:
        return await sent_to_shopify(database, services, shop_domain)
    async with asked_of_shopify(shop_domain):
        await sync_billing(database, admin, services.prices, shop_domain, partner=services.partner)
        async with database.reading(shop_domain) as connection:
            shop = await billed_shop(connection, shop_domain)
            had_trial = await had_its_trial(connection, shop)
        if has_plan(shop, plan):
            raise PlanAlreadyActive
        item = without_trial(plan) if had_trial else plan
        return await bought(database, admin, services, shop_domain, item)


async def sent_to_shopify(
    database: Database, services: BillingServices, shop_domain: str
) -> ConfirmationResponse:
    """Where Shopify itself sells the plans. Raises `ShopNotInstalled`."""
    async with database.transaction(shop_domain) as connection:
        await expect_choice(connection, await installed_id(connection, shop_domain))
    return ConfirmationResponse(confirmation_url=services.pricing_url(shop_domain))


async def buy_pack(
    database: Database, admin: AdminApi, services: BillingServices, shop_domain: str, handle: str
) -> ConfirmationResponse:
    """Ask Shopify for the payment of a pack.

    Raises `BillingDisabled`, `PacksNotSold`, `InvalidRequest`, and what `bought` raises.
    """
    if services.prices.is_managed:
        raise PacksNotSold
    pack = offered(services.prices, services.prices.pack(handle), "pack")
    async with asked_of_shopify(shop_domain):
        return await bought(database, admin, services, shop_domain, pack)


def offered(prices: PriceList, item: Offer | None, field: str) -> Offer:
    """The item. Raises `BillingDisabled`, or `InvalidRequest` if there is none of that handle."""
    if not prices.is_sold:
        raise BillingDisabled
    if item is None:
        message = f"There is no such {field}. GET /v1/plans lists what can be bought."
        raise InvalidRequest([{"loc": ["body", field], "msg": message, "type": "value_error"}])
    return item


async def bought(
    database: Database,
    admin: AdminApi,
    services: BillingServices,
    shop_domain: str,
    item: Plan | Pack,
) -> ConfirmationResponse:
    """Have Shopify create the charge. Raises `ShopNotInstalled`, and as `request_charge` does."""
    shop = await installed_shop(database, admin, shop_domain)
    if shop is None:
        raise ShopNotInstalled
    url = await request_charge(
        database,
        admin,
        shop,
        item,
        return_url=services.return_url(shop_domain),
        is_test=services.prices.is_test,
    )
    return ConfirmationResponse(confirmation_url=url)


@asynccontextmanager
async def asked_of_shopify(shop_domain: str) -> AsyncIterator[None]:
    """A time limit for a merchant who waits, and Shopify's refusals in our words.

    Raises `ShopNotInstalled`, `ChargeRefused` and `ShopifyUnavailable`.
    """
    try:
        async with asyncio.timeout(CHARGE_SECONDS):
            yield
    except TimeoutError as error:
        raise ShopifyUnavailable from error
    except NeedsReauth as error:
        raise ShopNotInstalled(TOKEN_OVER) from error
    except ShopifyRefused as error:
        log.warning("charge_refused", shop=shop_domain, cause=str(error)[:300])
        raise ChargeRefused from error


async def billed_shop(connection: AsyncConnection, shop_domain: str) -> Row[Any]:
    """The installed shop with its plan. Raises `ShopNotInstalled`."""
    found: Any = (
        select(Shop.shopify_gid, Subscription.handle, Subscription.status)
        .outerjoin(Subscription, Subscription.shop_id == Shop.id)
        .where(Shop.domain == shop_domain, Shop.status == "installed")
    )
    row: Row[Any] | None = (await connection.execute(found)).one_or_none()
    if row is None:
        raise ShopNotInstalled
    return row


async def had_its_trial(connection: AsyncConnection, shop: Row[Any]) -> bool:
    """Whether the shop can have no trial: it has had one, or nobody knows which shop it is."""
    gid = shop.shopify_gid
    return gid is None or await has_had_trial(connection, gid)


def has_plan(shop: Row[Any], plan: Plan) -> bool:
    """Whether the shop's subscription is to this plan, and active."""
    return bool(shop.handle == plan.handle and shop.status == "ACTIVE")
