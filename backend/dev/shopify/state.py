"""What the stand-in knows and how it has been told to misbehave. No HTTP here."""

import itertools
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from backend.dev.shopify.catalogue import Catalogue
from backend.dev.shopify.grants import Grants

Call = Literal["exchange", "refresh", "graphql", "image"]
"""The kinds of request that are counted and can be made to fail."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer: JSON, or bytes when `content_type` says so."""

    status: int
    body: object
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Fault:
    """One failure to come; `processed` means that the work is done and only its answer lost."""

    answer: Answer
    processed: bool = False


@dataclass(slots=True, kw_only=True)
class Shop:
    """A store, with or without the app."""

    domain: str
    number: int
    scopes: frozenset[str]
    created_at: datetime
    previous_scopes: frozenset[str] = frozenset()
    installed: bool = True
    grants: Grants = field(default_factory=Grants)

    @property
    def gid(self) -> str:
        """The id as GraphQL has it."""
        return f"gid://shopify/Shop/{self.number}"

    def may_read(self, resource: str) -> bool:
        """Say whether the app may read `products`, `files` and so on; writing implies reading."""
        return not self.scopes.isdisjoint({f"read_{resource}", f"write_{resource}"})


@dataclass(slots=True, kw_only=True)
class Platform:
    """The whole of the stand-in's memory."""

    api_key: str
    secret: str
    clock: Callable[[], float]
    """Seconds since the epoch."""
    access_token_lifetime: int
    """In seconds."""
    latency: float = 0.0
    """Seconds to wait before each answer."""
    shops: dict[str, Shop] = field(default_factory=dict)
    shop_numbers: Iterator[int] = field(default_factory=lambda: itertools.count(60_000_000_001))
    catalogue: Catalogue = field(default_factory=Catalogue)
    calls: Counter[Call] = field(default_factory=Counter)
    faults: defaultdict[Call, deque[Fault]] = field(default_factory=lambda: defaultdict(deque))

    def next_fault(self, call: Call) -> Fault | None:
        """Take the next failure that is due for this kind of request."""
        due = self.faults[call]
        return due.popleft() if due else None

    def now(self) -> datetime:
        """The clock's time, in UTC."""
        return datetime.fromtimestamp(self.clock(), UTC)
