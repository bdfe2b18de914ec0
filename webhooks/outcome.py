"""What a handler receives, and the outcomes that it returns."""

from typing import Literal

import msgspec

from backend.billing.plans import PriceList
from backend.db import Database
from backend.settings import UNLIMITED, Quotas
from backend.shops.admin_api import AdminApi
from backend.shops.billing_refresh import NO_BILLING, BillingRefresh
from backend.shops.partner_api import PartnerApi
from backend.storage.objects import ObjectStore

HANDLER_SECONDS = 5.0  # that a handler keeps a worker's place before others have their turn


class HandlerContext(msgspec.Struct, frozen=True, kw_only=True):
    """The services that handlers may use."""

    database: Database
    admin: AdminApi
    store: ObjectStore
    closed: frozenset[str]  # names of the workflows that are not offered
    quotas: Quotas = UNLIMITED
    prices: PriceList = PriceList()
    partner: PartnerApi | None = None
    billing_refresh: BillingRefresh = NO_BILLING


class Outcome(msgspec.Struct, frozen=True):
    """How a delivery ended; `note` is stored with it in the inbox."""

    status: Literal["processed", "ignored", "failed"]
    note: str


def processed(note: str) -> Outcome:
    """The handler did something, or nothing was left to do."""
    return Outcome("processed", note)


def ignored(note: str) -> Outcome:
    """The handler did nothing, for the reason in `note`."""
    return Outcome("ignored", note)
