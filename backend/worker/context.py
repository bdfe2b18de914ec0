"""The services of a worker process."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta

import httpx
import msgspec

from backend.batches.execution import BatchContext
from backend.billing.plans import PriceList
from backend.db import Database
from backend.providers.provider import Provider
from backend.publications.context import PublicationContext
from backend.renderers.base import Renderer
from backend.settings import UNLIMITED, Quotas
from backend.shops.admin_api import AdminApi
from backend.shops.billing_refresh import NO_BILLING, BillingRefresh
from backend.shops.partner_api import PartnerApi
from backend.storage.objects import ObjectStore
from backend.storage.presign import Presigner
from backend.submissions.callback_tokens import CallbackUrls
from backend.workflows.stages import StageName


class WorkerContext(msgspec.Struct, frozen=True, kw_only=True):
    """The services of one worker process. `stopping` is set once it should hand over its jobs.

    `providers` make their stages outside this machine, each within its deadline; `callbacks` is
    None where this installation has no public address.
    `endpoint_transport` carries events to webhook endpoints.
    """

    database: Database
    store: ObjectStore
    admin: AdminApi
    renderer: Renderer
    stopping: asyncio.Event
    quotas: Quotas = UNLIMITED
    prices: PriceList = PriceList()
    without_engine: frozenset[str] = frozenset()  # names of workflows that need another engine
    providers: Mapping[StageName, Provider] = {}
    deadlines: Mapping[StageName, timedelta] = {}
    callbacks: CallbackUrls | None = None
    presigner: Presigner | None = None  # for the inputs of providers
    partner: PartnerApi | None = None
    billing_refresh: BillingRefresh = NO_BILLING
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
            database=self.database,
            admin=self.admin,
            stopping=self.stopping,
            quotas=self.quotas,
            without_engine=self.without_engine,
        )

    @property
    def files(self) -> httpx.AsyncClient:
        """The client for downloads from Shopify's CDN."""
        return self.admin.files
