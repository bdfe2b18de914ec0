"""Responses of `/v1/overview`."""

from typing import Annotated

import msgspec

MOST_COUNTED = 1_000
AtMost = Annotated[
    int, msgspec.Meta(ge=0, le=MOST_COUNTED, description=f"{MOST_COUNTED} means that many or more.")
]


class SetupResponse(msgspec.Struct, frozen=True, kw_only=True):
    """How far the shop is. `has_own_rules`: the merchant has saved the settings at least once."""

    dismissed: bool
    has_jobs: bool
    has_publications: bool
    has_own_rules: bool


class OverviewResponse(msgspec.Struct, frozen=True, kw_only=True):
    """What the shop's jobs are up to. `failed` counts those that were created in the last 7 days.

    The credits are those that rules spend in a day (UTC).
    """

    waiting: AtMost
    running: AtMost
    failed: AtMost
    credits_spent_today: int
    daily_credit_cap: int
    setup: SetupResponse
