"""A shop's charges: subscriptions and one-time purchases, and what becomes of them.

Time passes when somebody looks: a charge that nobody approved expires, a subscription is renewed, a
later plan takes the place of the one that has run out. None of that sends a webhook but the last.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Literal

ChargeKind = Literal["AppSubscription", "AppPurchaseOneTime"]

APPROVAL_WINDOW = timedelta(days=2)
PERIODS = {"EVERY_30_DAYS": timedelta(days=30), "ANNUAL": timedelta(days=365)}
SUBSCRIPTION_UPDATE = "app_subscriptions/update"
PURCHASE_UPDATE = "app_purchases_one_time/update"


class NotApprovable(Exception):
    """The charge is no longer, or not yet, one that the merchant can decide on."""


@dataclass(slots=True, kw_only=True)
class Charge:
    """A charge, in any state."""

    number: int
    kind: ChargeKind
    name: str
    price: Decimal
    currency: str
    interval: str = "EVERY_30_DAYS"
    trial_days: int = 0
    test: bool
    return_url: str
    created_at: datetime
    updated_at: datetime
    status: str = "PENDING"
    period_end: datetime | None = None
    begins_at: datetime | None = None
    """When an approved plan takes the place of a dearer one: at the end of what is paid for."""

    @property
    def gid(self) -> str:
        """The id as GraphQL has it."""
        return f"gid://shopify/{self.kind}/{self.number}"

    @property
    def topic(self) -> str:
        """The webhook topic of its changes."""
        return SUBSCRIPTION_UPDATE if self.kind == "AppSubscription" else PURCHASE_UPDATE

    @property
    def first_period_end(self) -> datetime:
        """When a plan that begins with its approval is to be paid again."""
        start = max(self.updated_at, self.created_at + timedelta(days=self.trial_days))
        return start + PERIODS[self.interval]

    def grow_older(self, age: timedelta) -> None:
        """Move all that has happened, and will, into the past."""
        self.created_at -= age
        self.updated_at -= age
        self.period_end = self.period_end and self.period_end - age
        self.begins_at = self.begins_at and self.begins_at - age


@dataclass(slots=True)
class ChargeBook:
    """All charges of one shop, the oldest first; at most one subscription is active."""

    charges: list[Charge] = field(default_factory=list)

    def of_kind(self, kind: ChargeKind) -> list[Charge]:
        """The charges of that kind."""
        return [charge for charge in self.charges if charge.kind == kind]

    def find(self, number: int) -> Charge | None:
        """The charge of that number."""
        return next((charge for charge in self.charges if charge.number == number), None)

    @property
    def active(self) -> Charge | None:
        """The subscription that is active."""
        return next(
            (each for each in self.of_kind("AppSubscription") if each.status == "ACTIVE"), None
        )

    def approve(self, number: int, now: datetime) -> list[Charge]:
        """Let the merchant approve a charge; what has changed, in the order in which it did.

        Raises NotApprovable.
        """
        charge = self._pending(number)
        if charge.kind == "AppPurchaseOneTime":
            return [_moved(charge, "ACTIVE", now)]
        current = self.active
        if current is not None and _is_deferred(charge, current):
            charge.begins_at = current.period_end
            return []
        return self._begin(charge, now)

    def decline(self, number: int, now: datetime) -> list[Charge]:
        """Let the merchant decline a charge. Raises NotApprovable."""
        return [_moved(self._pending(number), "DECLINED", now)]

    def end(self, status: str, now: datetime) -> list[Charge]:
        """Give the active subscription another status: CANCELLED or FROZEN."""
        return [_moved(self.active, status, now)] if self.active else []

    def thaw(self, now: datetime) -> list[Charge]:
        """Let a frozen subscription be active again: the merchant has paid."""
        frozen = [each for each in self.charges if each.status == "FROZEN"]
        return [_moved(each, "ACTIVE", now) for each in frozen]

    def cancel_all(self, now: datetime) -> None:
        """End what an uninstall ends."""
        for charge in self.of_kind("AppSubscription"):
            if charge.status in {"PENDING", "ACTIVE", "FROZEN"}:
                _moved(charge, "CANCELLED", now)

    def pass_time(self, now: datetime) -> list[Charge]:
        """Do what the time until now does; what has changed."""
        changed = []
        for charge in self.charges:
            if charge.status != "PENDING":
                continue
            if charge.begins_at is not None:
                if charge.begins_at <= now:
                    changed += self._begin(charge, charge.begins_at)
            elif charge.created_at + APPROVAL_WINDOW <= now:
                changed.append(_moved(charge, "EXPIRED", now))
        current = self.active
        while current and current.period_end and current.period_end <= now:
            current.period_end += PERIODS[current.interval]
        return changed

    def _begin(self, charge: Charge, now: datetime) -> list[Charge]:
        ended = self.end("CANCELLED", now)
        _moved(charge, "ACTIVE", now)
        charge.begins_at, charge.period_end = None, charge.first_period_end
        return [*ended, charge]

    def _pending(self, number: int) -> Charge:
        charge = self.find(number)
        if charge is None or charge.status != "PENDING" or charge.begins_at is not None:
            raise NotApprovable(number)
        return charge


def _is_deferred(charge: Charge, current: Charge) -> bool:
    """Whether a plan waits for the end of what is paid for, as STANDARD replacement has it."""
    if charge.currency != current.currency:
        return False
    if current.interval != charge.interval:
        return current.interval == "ANNUAL"
    return charge.price < current.price


def _moved(charge: Charge, status: str, now: datetime) -> Charge:
    charge.status, charge.updated_at = status, now
    if status != "ACTIVE":
        charge.period_end = charge.period_end if status == "FROZEN" else None
    return charge
