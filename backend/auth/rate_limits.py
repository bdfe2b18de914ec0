"""Rate limits per shop, counted after authentication, so that nobody can use up another's limit.

Each process counts for itself, in a sliding window: the previous window counts by the share that it
still covers. The `limits` library parses the settings; its own counters took 7 % of the time of a
job detail. Litestar's middleware counts by IP address, which all visitors share behind Shopify's
proxy.
"""

import math
import time
from collections.abc import Callable

from limits import RateLimitItem, parse

from backend.errors import ConfigurationError, TooManyRequests

READ_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class RateLimits:
    """The limits of one guard, such as "600/minute", for reads and for writes."""

    def __init__(self, *, reads: str, writes: str, clock: Callable[[], float] = time.time) -> None:
        self.reads, self.writes = parse_budget(reads), parse_budget(writes)
        self.clock = clock

    def __deepcopy__(self, _memo: dict[int, object]) -> "RateLimits":
        """Litestar copies the guards of each router; the counters must stay shared."""
        return self

    def count(self, shop: str, method: str) -> None:
        """Count one request of the shop. Raises `TooManyRequests`."""
        spent = self.reads if method in READ_METHODS else self.writes
        now = self.clock()
        if not spent.spend(shop, now):
            raise TooManyRequests(spent.seconds_left(now))


class Budget:
    """Each shop's requests in the current and the previous window; all shops share the windows."""

    def __init__(self, item: RateLimitItem) -> None:
        self.amount = item.amount
        self.seconds = item.get_expiry()
        self.window = 0
        self.spent: dict[str, int] = {}
        self.spent_before: dict[str, int] = {}

    def spend(self, shop: str, now: float) -> bool:
        """Count a request at `now`, in seconds since the epoch; False if none is left."""
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
        """The remaining seconds of the window at `now`."""
        return math.ceil(self.seconds - now % self.seconds)


def parse_budget(text: str) -> Budget:
    """Parse a limit such as "600/minute". Raises `ConfigurationError`."""
    try:
        return Budget(parse(text))
    except ValueError as error:
        raise ConfigurationError(
            f"A rate limit reads like 600/minute, not like {text!r}."
        ) from error
