"""Queries and responses of `/v1/credits`, `/v1/transactions` and `/v1/usage`."""

from datetime import date, datetime
from typing import Annotated, Literal

import msgspec

MOST_LOTS = 100
TransactionList = Literal["spend", "purchases"]
TransactionStatus = Literal["PENDING", "SUCCESS", "REFUNDED", "PURCHASED", "EXPIRED"]
CreditAmount = Annotated[int, msgspec.Meta(ge=0)]


class LotResponse(msgspec.Struct, frozen=True, kw_only=True):
    """Credits that came together. They are spent until `expires_at`; null means no expiry."""

    source: Literal["plan", "pack", "trial", "manual"]
    remaining: CreditAmount
    expires_at: datetime | None


class CurrentPlan(msgspec.Struct, frozen=True, kw_only=True):
    """The shop's plan. `status` is Shopify's, such as ACTIVE or FROZEN."""

    handle: str
    name: str
    status: str
    period_end: datetime | None


class CreditsResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The shop's balance, in credits.

    Unfinished jobs hold their price in `held`. It comes back to `available` unless the job
    succeeds. If `unlimited`, this app charges nobody: the other fields mean nothing.
    """

    available: CreditAmount
    held: CreditAmount
    unlimited: bool
    lots: Annotated[
        list[LotResponse],
        msgspec.Meta(max_length=MOST_LOTS, description="In the order in which they are spent."),
    ]
    plan: CurrentPlan | None


class TransactionsRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The query parameters of `/v1/transactions`."""

    kind: TransactionList
    limit: int
    cursor: str | None


class TransactionResponse(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a job's price, or a change of the lots.

    An `operation` is a job, and its `id` the job's ID. It is PENDING while the job is unfinished,
    then SUCCESS, or REFUNDED if the job has failed or was cancelled. `label` is the workflow's
    name, the name of what was bought, or why credits were granted by hand. `credits_delta` is the
    change of `available` so far: over both lists it adds up to `available`.
    """

    id: str
    kind: Literal["operation", "subscription", "pack", "trial", "manual"]
    label: str | None
    credits_delta: int
    status: TransactionStatus
    created_at: datetime


class TransactionsResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A page of transactions, newest first. `Link` has the address of the next one."""

    items: list[TransactionResponse]
    limit: int
    count: int


class UsageRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The query parameters of `/v1/usage`."""

    days: int


class UsageOfADay(msgspec.Struct, frozen=True, kw_only=True):
    """The successful jobs of one workflow that were created on a day (UTC), and their credits."""

    day: date
    workflow: str
    jobs: int
    credits: int


class UsageResponse(msgspec.Struct, frozen=True, kw_only=True):
    """Usage by day and workflow, oldest day first. A day without successful jobs is left out."""

    days: list[UsageOfADay]
