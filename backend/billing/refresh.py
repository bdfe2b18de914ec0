"""Reads of Shopify that a merchant waits for: when they open the app, and before a refusal."""

import asyncio

import structlog

from backend.billing.charges import has_open_charges
from backend.billing.plans import PriceList
from backend.billing.sync import sync_billing
from backend.db import Database
from backend.errors import AtelierError
from backend.shops.admin_api import AdminApi, ShopifyRefused, TokenRefused
from backend.shops.billing_refresh import BillingRefresh
from backend.shops.service import installed_id
from backend.shops.token_encryption import UnknownKey
from backend.shops.tokens import NeedsReauth

log = structlog.get_logger(__name__)

REFRESH_SECONDS = 3.0  # that a merchant waits at most; a worker's sweep does the rest
MIN_SECONDS = 60.0  # between two reads for the same shop
READ_ERRORS = (
    AtelierError,
    ShopifyRefused,
    TokenRefused,
    NeedsReauth,
    UnknownKey,
    TimeoutError,
)


class ShopifyBillingRefresh(BillingRefresh):
    """Reads what the shop has bought, in a web process. An outage of Shopify fails no request."""

    def __init__(self, database: Database, admin: AdminApi, prices: PriceList) -> None:
        self.database = database
        self.admin = admin
        self.prices = prices

    async def when_opened(self, shop_domain: str) -> None:
        """Read at once if the merchant may come from an approval, else at most once a minute."""
        await self.refreshed(shop_domain, is_opened=True)

    async def before_refusal(self, shop_domain: str) -> bool:
        """Read at most once a minute; whether there are new credits."""
        return await self.refreshed(shop_domain, is_opened=False) > 0

    async def refreshed(self, shop_domain: str, *, is_opened: bool) -> int:
        """Read, unless it was done just before; how many lots are new."""
        if not self.prices.is_sold:
            return 0
        try:
            async with asyncio.timeout(REFRESH_SECONDS):
                at_once = is_opened and await self.may_be_approved(shop_domain)
                return await sync_billing(
                    self.database,
                    self.admin,
                    self.prices,
                    shop_domain,
                    min_seconds=0.0 if at_once else MIN_SECONDS,
                )
        except READ_ERRORS as error:
            log.warning("billing_not_read", shop=shop_domain, cause=repr(error)[:300])
            return 0

    async def may_be_approved(self, shop_domain: str) -> bool:
        """Whether the shop has a charge that was not decided on when Shopify was read."""
        async with self.database.reading(shop_domain) as connection:
            shop_id = await installed_id(connection, shop_domain)
            return await has_open_charges(connection, shop_id)
