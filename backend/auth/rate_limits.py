"""Rate limits by shop. They count after the credential is verified, so nobody can use up another's.

Counted in each process on its own, in a window that slides: of the window before counts the share
that it still covers. The `limits` library was tried: its counters took 7 % of a job detail's time.
Litestar's middleware counts by address, and behind Shopify's proxy all clients share a few.
"""

import math
import re
import time
from collections.abc import Callable

from backend.errors import ConfigurationError, TooManyRequests
from backend.settings import RATE

READ_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
WINDOWS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}  # in seconds


class RateLimits:
    """The limits of one guard, such as "600/minute", for reads and for writes."""

    def __init__(self, *, reads: str, writes: str, clock: Callable[[], float] = time.time) -> None:
        self.reads, self.writes = parse_budget(reads), parse_budget(writes)
        self.clock = clock

    def count(self, shop: str, method: str) -> None:
        """Count one request of the shop. Raises `TooManyRequests`."""
        spent = self.reads if method in READ_METHODS else self.writes
        now = self.clock()
        if not spent.spend(shop, now):
            raise TooManyRequests(spent.seconds_left(now))


class Budget:
    """Each shop's requests in the current and the previous window; all shops share the windows."""

    def __init__(self, amount: int, seconds: int) -> None:
        self.amount = amount  # requests
        self.seconds = seconds  # in a window of this length
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
    """The parse_budget of a text such as "600/minute" or "20 per 5 seconds".

    Raises `ConfigurationError`.
    """
    rate = re.fullmatch(RATE, text)
    if rate is None:
        raise ConfigurationError(f"A rate limit reads like 600/minute, not like {text!r}.")
    amount, windows, unit = rate.groups()
    return Budget(int(amount), int(windows or 1) * WINDOWS[unit.lower()])
