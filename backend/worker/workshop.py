"""What a worker works with."""

import asyncio

import httpx
import msgspec

from backend.batches.running import Desk
from backend.db import Database
from backend.publications.press import Press
from backend.renderers.base import Renderer
from backend.settings import UNLIMITED, Quotas
from backend.shops.admin_api import AdminApi
from backend.storage.objects import ObjectStore


class Workshop(msgspec.Struct, frozen=True, kw_only=True):
    """The services of one worker process. `stopping` is set once it should hand over its jobs."""

    database: Database
    store: ObjectStore
    admin: AdminApi
    renderer: Renderer
    stopping: asyncio.Event
    quotas: Quotas = UNLIMITED

    @property
    def press(self) -> Press:
        """For publications."""
        return Press(
            database=self.database, store=self.store, admin=self.admin, stopping=self.stopping
        )

    @property
    def desk(self) -> Desk:
        """For batches."""
        return Desk(
            database=self.database, admin=self.admin, stopping=self.stopping, quotas=self.quotas
        )

    @property
    def files(self) -> httpx.AsyncClient:
        """For downloads from Shopify's CDN."""
        return self.admin.files
