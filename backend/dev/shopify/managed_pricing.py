"""App Pricing: the app's plans in the Dev Dashboard, and what each shop's contract does in time.

There is no webhook of any of it. Time passes when somebody looks: a trial ends, a cycle is renewed,
a cheaper plan takes over, a cancelled contract ends. All of it is in the history.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from backend.dev.shopify.charges import PERIODS

TRIAL_MEMORY = timedelta(days=180)  # in which Shopify counts a shop's days of trial


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagedPlan:
    """A plan of the Dev Dashboard."""

    handle: str
    name: str
    price: Decimal
    interval: str = "EVERY_30_DAYS"
    trial_days: int = 0


@dataclass(slots=True, kw_only=True)
class HistoryEntry:
    """An event of the Partner API's history. Only charges and earnings have the last fields."""

    number: int
    kind: str
    event_type: str
    occurred_at: datetime
    shop_number: int
    charge_id: str | None = None
    legacy_charge_id: str | None = None
    amount: Decimal = Decimal(0)
    plan_handle: str | None = None


@dataclass(slots=True, kw_only=True)
class ManagedContract:
    """A shop's contract."""

    plan: ManagedPlan
    trial_ends_at: datetime | None
    cycle_start: datetime | None = None
    is_cancelled: bool = False
    is_frozen: bool = False
    pending: ManagedPlan | None = None

    @property
    def cycle_end(self) -> datetime | None:
        """When the next charge is due."""
        return self.cycle_start and self.cycle_start + PERIODS[self.plan.interval]


@dataclass(slots=True)
class ContractBook:
    """One shop's contract, and the history of what happened to it and its money."""

    shop_number: int
    contract: ManagedContract | None = None
    last_trial_at: datetime | None = None
    history: list[HistoryEntry] = field(default_factory=list)

    def choose(self, plan: ManagedPlan, now: datetime) -> None:
        """Have the merchant choose a plan: a dearer one begins at once, a cheaper one later."""
        contract = self.contract
        if contract is None:
            self._begin(plan, now)
        elif contract.cycle_start is None:
            contract.plan, contract.is_cancelled = plan, False
            self._note("SUBSCRIPTION_UPDATED", now)
        elif plan.price < contract.plan.price:
            contract.pending, contract.is_cancelled = plan, False
        else:
            contract.plan, contract.is_cancelled, contract.pending = plan, False, None
            self._note("SUBSCRIPTION_UPDATED", now)
            self._charge(now)

    def cancel(self, now: datetime) -> None:
        """Have the merchant cancel: a paid cycle is used up, a trial ends."""
        if self.contract is None:
            return
        if self.contract.cycle_start is None:
            self.end(now)
        else:
            self.contract.is_cancelled = True
            self._note("SUBSCRIPTION_CANCELLATION_SCHEDULED", now)

    def end(self, now: datetime) -> None:
        """End the contract at once, as an uninstall does."""
        if self.contract is not None:
            self._note("SUBSCRIPTION_CANCELED", now)
            self.contract = None

    def freeze(self, now: datetime) -> None:
        """Freeze the contract: the merchant does not pay."""
        if self.contract is not None:
            self.contract.is_frozen = True
            self._note("SUBSCRIPTION_FROZEN", now)

    def unfreeze(self, now: datetime) -> None:
        """Let the contract go on: the merchant has paid."""
        if self.contract is not None:
            self.contract.is_frozen = False
            self._note("SUBSCRIPTION_UNFROZEN", now)

    def refund(self, charge: HistoryEntry, amount: Decimal, now: datetime) -> None:
        """Give money of a charge back, as the partner does in the dashboard."""
        self._add(
            "Earning",
            "EARNING_REFUND",
            now,
            charge_id=charge.charge_id,
            legacy_charge_id=charge.legacy_charge_id,
            amount=-amount,
        )

    def note_purchase(self, legacy_id: int, amount: Decimal, at: datetime) -> HistoryEntry:
        """Note the payment of a charge of the Billing API, which has another id in the history."""
        return self._add(
            "Charge",
            "CHARGE_ONE_TIME",
            at,
            charge_id=self._charge_id(),
            legacy_charge_id=str(legacy_id),
            amount=amount,
        )

    def pass_time(self, now: datetime) -> None:
        """Do what the time until now does."""
        while (contract := self.contract) is not None and not contract.is_frozen:
            due = contract.cycle_end or contract.trial_ends_at
            if due is None or due > now:
                return
            if contract.is_cancelled:
                self.end(due)
                return
            if contract.pending is not None:
                contract.plan, contract.pending = contract.pending, None
                self._note("SUBSCRIPTION_UPDATED", due)
            self._charge(due)

    def grow_older(self, age: timedelta) -> None:
        """Move all that has happened, and will, into the past."""
        for entry in self.history:
            entry.occurred_at -= age
        self.last_trial_at = self.last_trial_at and self.last_trial_at - age
        if self.contract is not None:
            contract = self.contract
            contract.trial_ends_at = contract.trial_ends_at and contract.trial_ends_at - age
            contract.cycle_start = contract.cycle_start and contract.cycle_start - age

    def charges(self, types: Iterable[str] = ("CHARGE_RECURRING",)) -> list[HistoryEntry]:
        """The charges of these types, the oldest first."""
        return [entry for entry in self.history if entry.event_type in types]

    def _begin(self, plan: ManagedPlan, now: datetime) -> None:
        is_new = self.last_trial_at is None or self.last_trial_at < now - TRIAL_MEMORY
        trial = timedelta(days=plan.trial_days) if plan.trial_days and is_new else None
        self.contract = ManagedContract(plan=plan, trial_ends_at=now + trial if trial else None)
        self._note("SUBSCRIPTION_CREATED", now)
        if trial:
            self.last_trial_at = now
        else:
            self._charge(now)

    def _charge(self, at: datetime) -> None:
        """Begin a paid cycle."""
        assert self.contract is not None
        self.contract.trial_ends_at, self.contract.cycle_start = None, at
        plan = self.contract.plan
        self._add(
            "Charge",
            "CHARGE_RECURRING",
            at,
            charge_id=self._charge_id(),
            amount=plan.price,
            plan_handle=plan.handle,
        )

    def _charge_id(self) -> str:
        return f"gid://shopify/AppCharge/{self.shop_number}{len(self.history):05}"

    def _note(self, event_type: str, at: datetime) -> None:
        self._add("SubscriptionStatus", event_type, at)

    def _add(self, kind: str, event_type: str, at: datetime, **more: object) -> HistoryEntry:
        entry = HistoryEntry(
            number=self.shop_number * 100_000 + len(self.history),
            kind=kind,
            event_type=event_type,
            occurred_at=at,
            shop_number=self.shop_number,
            **more,  # type: ignore[arg-type]
        )
        self.history.append(entry)
        return entry
