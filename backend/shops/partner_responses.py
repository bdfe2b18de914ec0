"""The Partner API's responses: the types that we read."""

from datetime import datetime
from decimal import Decimal

import msgspec


class BillingCycle(msgspec.Struct, frozen=True, rename="camel"):
    """The period that is paid."""

    start_time: datetime
    end_time: datetime


class ContractItem(msgspec.Struct, frozen=True):
    """A plan, or what is metered beside it."""

    handle: str | None = None
    description: str | None = None


class ReferencedShop(msgspec.Struct, frozen=True):
    """The shop that something is about."""

    id: str


class Contract(msgspec.Struct, frozen=True, rename="camel"):
    """A shop's plan under App Pricing. During a trial there is no billing cycle."""

    shop: ReferencedShop
    billing_period: str
    items: list[ContractItem]
    trial_ends_at: datetime | None = None
    current_billing_cycle: BillingCycle | None = None


class LegacyCharge(msgspec.Struct, frozen=True, rename="camel"):
    """The id that a charge of the Billing API has."""

    legacy_charge_id: str


class EventAmount(msgspec.Struct, frozen=True, rename="camel"):
    """The money of an event; what went back is negative."""

    amount: Decimal
    currency_code: str


class PartnerEvent(msgspec.Struct, frozen=True, rename="camel"):
    """Something that happened. A charge has `charge_id`, an earning or its refund `earned_for`."""

    id: str
    event_type: str
    occurred_at: datetime
    shop: ReferencedShop | None = None
    charge_id: str | None = None
    earned_for: str | None = None
    metadata: LegacyCharge | None = None
    amount: EventAmount | None = None


class EventEdge(msgspec.Struct, frozen=True):
    """An entry of a page."""

    node: PartnerEvent


class EventPageInfo(msgspec.Struct, frozen=True, rename="camel"):
    """The end of a page."""

    has_next_page: bool
    end_cursor: str | None = None


class EventsPage(msgspec.Struct, frozen=True, rename="camel"):
    """A page of events."""

    edges: list[EventEdge]
    page_info: EventPageInfo


class ContractAnswer(msgspec.Struct, frozen=True, rename="camel"):
    """The data of `partner_documents.CONTRACT`."""

    active_subscription: Contract | None
    events: EventsPage


class EventsAnswer(msgspec.Struct, frozen=True):
    """The data of `partner_documents.HISTORY_PAGE`."""

    events: EventsPage
