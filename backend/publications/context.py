"""What publishing works with, and how it asks the shop: each time with a token that is alive."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec

from backend.db import Database
from backend.failures.codes import SHOP_NOT_INSTALLED
from backend.leased_task import HandedOver
from backend.publications.failures import PublicationFailed
from backend.publications.leases import PublicationLease, require_lease
from backend.shops.admin_api import AdminApi
from backend.shops.tokens import InstalledShop, installed_shop, with_fresh_token
from backend.storage.objects import ObjectStore

T = TypeVar("T")
Question = Callable[[AdminApi, InstalledShop], Awaitable[T]]


class StillBusy(Exception):
    """Shopify is not done yet; with the id of the job of Shopify's that is waited for, if any."""

    def __init__(self, job: str | None = None) -> None:
        super().__init__("Shopify is not done yet.")
        self.job = job


class PublicationContext(msgspec.Struct, frozen=True, kw_only=True):
    """The services that publishing needs.

    `looks` is how often to look at what Shopify is busy with, and `pause` how long to wait in
    between, in seconds; what takes longer is left to a later turn (`StillBusy`), for a worker's
    place is not held meanwhile. `stopping` ends the work between two steps.
    """

    database: Database
    store: ObjectStore
    admin: AdminApi
    stopping: asyncio.Event
    pause: float = 0.3
    looks: int = 3

    async def ask(self, lease: PublicationLease, question: Question[T]) -> T:
        """The shop's answer. Raises `NeedsReauth`, `PublicationFailed`, and what it itself does."""
        if self.stopping.is_set():
            raise HandedOver
        shop = await installed_shop(self.database, self.admin, lease.shop_domain)
        if shop is None:
            raise PublicationFailed(SHOP_NOT_INSTALLED)
        return await with_fresh_token(
            self.database, self.admin, shop, lambda shop: question(self.admin, shop)
        )

    async def change(self, lease: PublicationLease, question: Question[T]) -> T:
        """The same where the question changes what the merchant may be changing as well.

        Shopify cannot compare before it writes, so we do, and whoever was stopped after that and
        overtaken must not write what they had in mind. Raises `Fenced`.
        """
        async with self.database.reading(lease.ref.shop_id) as connection:
            await require_lease(connection, lease)
        return await self.ask(lease, question)

    async def until(self, look: Callable[[], Awaitable[T | None]]) -> T | None:
        """What `look` finds, as soon as it finds something; None if that takes too long."""
        for turn in range(self.looks):
            if turn:
                await asyncio.sleep(self.pause)
            if (found := await look()) is not None:
                return found
        return None
