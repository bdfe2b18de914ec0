"""Reads of Shopify that somebody waits for: when a merchant opens the app, before a refusal."""

import asyncio

import structlog

from backend.billing.charges import may_have_bought
from backend.billing.plans import PriceList
from backend.billing.sync import sync_billing
from backend.db import Database
from backend.errors import AtelierError
from backend.shops.admin_api import AdminApi, ShopifyRefused, TokenRefused
from backend.shops.billing_refresh import BillingRefresh
from backend.shops.partner_api import MERCHANT_WAIT, PartnerApi
from backend.shops.service import installed_id
from backend.shops.token_encryption import UnknownKey
from backend.shops.tokens import NeedsReauth

log = structlog.get_logger(__name__)

REFRESH_SECONDS = 3.0  # that anybody waits at most; a worker's sweep does the rest
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
    """Reads what the shop has bought. An outage of Shopify fails no request and no task."""

    def __init__(
        self,
        database: Database,
        admin: AdminApi,
        prices: PriceList,
        partner: PartnerApi | None,
    ) -> None:
        self.database = database
        self.admin = admin
        self.prices = prices
        self.partner = partner

    async def when_opened(self, shop_domain: str) -> None:
        """Read at once if the merchant may come from Shopify's page, else at most once a minute."""
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
                at_once = is_opened and await self.may_come_back(shop_domain)
                return await sync_billing(
                    self.database,
                    self.admin,
                    self.prices,
                    shop_domain,
                    partner=self.partner,
                    max_wait=MERCHANT_WAIT,
                    min_seconds=0.0 if at_once else MIN_SECONDS,
                )
        except READ_ERRORS as error:
            log.warning("billing_not_read", shop=shop_domain, cause=repr(error)[:300])
            return 0

    async def may_come_back(self, shop_domain: str) -> bool:
        """Whether the merchant was sent to Shopify's page, and nothing came of it yet."""
        async with self.database.reading(shop_domain) as connection:
            shop_id = await installed_id(connection, shop_domain)
            return await may_have_bought(connection, shop_id)
