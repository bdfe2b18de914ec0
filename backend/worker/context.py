"""The services of a worker process."""

import asyncio

import httpx
import msgspec

from backend.batches.execution import BatchContext
from backend.billing.plans import PriceList
from backend.db import Database
from backend.publications.context import PublicationContext
from backend.renderers.base import Renderer
from backend.settings import UNLIMITED, Quotas
from backend.shops.admin_api import AdminApi
from backend.storage.objects import ObjectStore


class WorkerContext(msgspec.Struct, frozen=True, kw_only=True):
    """The services of one worker process. `stopping` is set once it should hand over its jobs.

    `endpoint_transport` carries events to webhook endpoints.
    """

    database: Database
    store: ObjectStore
    admin: AdminApi
    renderer: Renderer
    stopping: asyncio.Event
    quotas: Quotas = UNLIMITED
    prices: PriceList = PriceList()
    endpoint_transport: httpx.AsyncBaseTransport

    @property
    def publication_context(self) -> PublicationContext:
        """The context for publications."""
        return PublicationContext(
            database=self.database, store=self.store, admin=self.admin, stopping=self.stopping
        )

    @property
    def batch_context(self) -> BatchContext:
        """The context for batches."""
        return BatchContext(
            database=self.database, admin=self.admin, stopping=self.stopping, quotas=self.quotas
        )

    @property
    def files(self) -> httpx.AsyncClient:
        """The client for downloads from Shopify's CDN."""
        return self.admin.files
