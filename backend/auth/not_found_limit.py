"""A rate limit on 404s for ids, per shop: guessing ids ends in 429.

Only 404s are counted, so requests for existing ids never meet the limit. A missing id and another
shop's id give the same 404, and so the same 429.
"""

import time
from collections.abc import Callable
from typing import Any

import structlog
from litestar import Request, Response

from backend.auth.rate_limits import parse_budget
from backend.errors import AtelierError, BatchNotFound, JobNotFound, TooManyRequests
from backend.web import atelier_error

log = structlog.get_logger(__name__)

NOT_FOUND_ERRORS = (JobNotFound, BatchNotFound)


class NotFoundLimit:
    """The limit of 404s on ids, such as "60/minute", for each shop in this process."""

    def __init__(self, allowed: str, clock: Callable[[], float] = time.time) -> None:
        self.budget = parse_budget(allowed)
        self.clock = clock

    @property
    def exception_handlers(self) -> dict[int | type[Exception], Any]:
        """The exception handlers of the counted errors, for the application."""
        return dict.fromkeys(NOT_FOUND_ERRORS, self.handle)

    def handle(self, request: Request[Any, Any, Any], error: AtelierError) -> Response[Any]:
        """Litestar's handler for a counted error."""
        return atelier_error(request, self.counted(request.scope["auth"].shop, error))

    def counted(self, shop: str, error: AtelierError) -> AtelierError:
        """The error, or `TooManyRequests` once the shop has used up its limit of 404s."""
        now = self.clock()
        if not isinstance(error, NOT_FOUND_ERRORS) or self.budget.spend(shop, now):
            return error
        log.warning("ids_guessed", shop=shop)
        return TooManyRequests(self.budget.seconds_left(now))
