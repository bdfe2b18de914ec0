"""How often a shop may ask: counted once the credential has named it, so nobody can count for it.

Counted in each process on its own, in a window that slides: of the window before counts the share
that it still covers. The `limits` library reads the budgets; its own counters took 7 % of a job
detail's time. Litestar's middleware counts by address, which behind Shopify's proxy is everybody's.
"""

import math
import time
from collections.abc import Callable

from limits import RateLimitItem, parse

from backend.errors import ConfigurationError, TooManyRequests

READS = frozenset({"GET", "HEAD", "OPTIONS"})


class RateLimits:
    """The budgets of one door, such as "600/minute", for reads and for the rest."""

    def __init__(self, *, reads: str, writes: str, clock: Callable[[], float] = time.time) -> None:
        self.reads, self.writes = budget(reads), budget(writes)
        self.clock = clock

    def __deepcopy__(self, _memo: dict[int, object]) -> "RateLimits":
        """Litestar copies each router's guards; what they count must stay one."""
        return self

    def count(self, shop: str, method: str) -> None:
        """Count one request of the shop. Raises `TooManyRequests`."""
        spent = self.reads if method in READS else self.writes
        now = self.clock()
        if not spent.spend(shop, now):
            raise TooManyRequests(spent.seconds_left(now))


class Budget:
    """What each shop has spent in this window and in the one before; windows are everybody's."""

    def __init__(self, item: RateLimitItem) -> None:
        self.amount = item.amount
        self.seconds = item.get_expiry()
        self.window = 0
        self.spent: dict[str, int] = {}
        self.spent_before: dict[str, int] = {}

    def spend(self, shop: str, now: float) -> bool:
        """Take one off what is left at `now`, in seconds since the epoch, unless nothing is."""
        window, elapsed = divmod(now, self.seconds)
        if window != self.window:
            self.spent_before = self.spent if window == self.window + 1 else {}
            self.window, self.spent = int(window), {}
        spent = self.spent.get(shop, 0)
        covered = self.spent_before.get(shop, 0) * (1 - elapsed / self.seconds)
        if spent + covered + 1 > self.amount:
            return False
        self.spent[shop] = spent + 1
        return True

    def seconds_left(self, now: float) -> int:
        """How long the window at `now` still lasts."""
        return math.ceil(self.seconds - now % self.seconds)


def budget(text: str) -> Budget:
    """The budget of a text such as "600/minute". Raises `ConfigurationError`."""
    try:
        return Budget(parse(text))
    except ValueError as error:
        raise ConfigurationError(
            f"A rate limit must look like 600/minute, not {text!r}."
        ) from error
