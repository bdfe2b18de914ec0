"""How often a shop may ask: counted once the credential has named it, so nobody can count for it.

Counted in each process on its own, by the `limits` library's sliding window. Litestar's own
middleware counts by address, which behind Shopify's proxy is everybody's.
"""

import math
import time

from limits import parse
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter

from backend.errors import ConfigurationError, TooManyRequests

READS = frozenset({"GET", "HEAD", "OPTIONS"})


class RateLimits:
    """The budgets of one door, such as "600/minute", for reads and for the rest."""

    def __init__(self, *, reads: str, writes: str) -> None:
        try:
            self.reads, self.writes = parse(reads), parse(writes)
        except ValueError as error:
            raise ConfigurationError(
                f"A rate limit reads like 600/minute, not like {reads!r} or {writes!r}."
            ) from error
        self.limiter = SlidingWindowCounterRateLimiter(MemoryStorage())

    def __deepcopy__(self, _memo: dict[int, object]) -> "RateLimits":
        """Litestar copies each router's guards; what they count must stay one."""
        return self

    async def count(self, shop: str, method: str) -> None:
        """Count one request of the shop. Raises `TooManyRequests`."""
        item = self.reads if method in READS else self.writes
        kind = "read" if method in READS else "write"
        if not await self.limiter.hit(item, kind, shop):
            window = await self.limiter.get_window_stats(item, kind, shop)
            raise TooManyRequests(math.ceil(window.reset_time - time.time()))
