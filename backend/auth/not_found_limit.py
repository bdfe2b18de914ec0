"""How often a shop may ask for a job that is not there: guessing ids is met with 429.

Counted where the 404 is made, so whoever asks for what there is never notices, whatever the shop's
others do. A missing id and another shop's are the same 404, and so the same 429.
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
    """The budget of 404s on ids, such as "60/minute", of each shop in this process."""

    def __init__(self, allowed: str, clock: Callable[[], float] = time.time) -> None:
        self.budget = parse_budget(allowed)
        self.clock = clock

    @property
    def exception_handlers(self) -> dict[int | type[Exception], Any]:
        """For the application: the errors that are counted."""
        return dict.fromkeys(NOT_FOUND_ERRORS, self.answer)

    def answer(self, request: Request[Any, Any, Any], error: AtelierError) -> Response[Any]:
        """What the framework answers."""
        return atelier_error(request, self.counted(request.scope["auth"].shop, error))

    def counted(self, shop: str, error: AtelierError) -> AtelierError:
        """The error, which is a 429 once the shop has had enough of these 404s."""
        now = self.clock()
        if not isinstance(error, NOT_FOUND_ERRORS) or self.budget.spend(shop, now):
            return error
        log.warning("ids_guessed", shop=shop)
        return TooManyRequests(self.budget.seconds_left(now))
