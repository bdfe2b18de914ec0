"""Queries and responses of `/v1/credits`, `/v1/transactions` and `/v1/usage`."""

from datetime import date

import msgspec


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
