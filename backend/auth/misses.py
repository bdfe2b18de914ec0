"""How often a shop may ask for a job that is not there: guessing ids is met with 429.

Counted where the 404 is made, so whoever asks for what there is never notices, whatever the shop's
others do. A missing id and another shop's are the same 404, and so the same 429.
"""

import math
import time
from typing import Any

import structlog
from limits import parse
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter
from litestar import Request, Response

from backend.errors import (
    BatchNotFound,
    ConfigurationError,
    JobNotFound,
    RequestError,
    TooManyRequests,
)
from backend.web import atelier_error

log = structlog.get_logger(__name__)


class Misses:
    """The budget of 404s on ids, such as "60/minute", of each shop in this process."""

    def __init__(self, budget: str) -> None:
        try:
            self.budget = parse(budget)
        except ValueError as error:
            raise ConfigurationError(
                f"A rate limit reads like 60/minute, not like {budget!r}."
            ) from error
        self.limiter = SlidingWindowCounterRateLimiter(MemoryStorage())

    @property
    def exception_handlers(self) -> dict[int | type[Exception], Any]:
        """For the application: the errors that are counted."""
        return dict.fromkeys((JobNotFound, BatchNotFound), self.counted)

    def counted(self, request: Request[Any, Any, Any], error: RequestError) -> Response[Any]:
        """The 404, or a 429 once the shop has had enough of them."""
        shop = request.scope["auth"].shop
        if self.limiter.hit(self.budget, shop):
            return atelier_error(request, error)
        log.warning("ids_guessed", shop=shop)
        ends_at = self.limiter.get_window_stats(self.budget, shop).reset_time
        return atelier_error(request, TooManyRequests(math.ceil(ends_at - time.time())))
