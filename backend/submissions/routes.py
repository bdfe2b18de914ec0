"""`POST /callbacks/{provider}/{token}`: a provider says that a request has come further.

Nothing in it is believed. It makes the submission due, so that a worker asks the provider; and if
the provider's answer to the request is still missing, it names the provider's job, which a worker
confirms. So a callback may come twice, late, forged or before that answer, or never.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog
from litestar import Request, Response, Router, post
from litestar.connection import ASGIConnection
from litestar.di import NamedDependency
from litestar.handlers import BaseRouteHandler
from sqlalchemy import and_, case, func, or_, update

from backend.auth.rate_limits import parse_budget
from backend.body_budget import mark_body_verified
from backend.db import Database
from backend.errors import (
    BadRequest,
    RouteNotFound,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
)
from backend.providers.provider import CallbackRefused, Provider, ProviderUnavailable
from backend.submissions.callback_tokens import CallbackToken, verify_callback
from backend.submissions.models import Submission
from backend.submissions.records import MAX_ID, this_submission
from backend.submissions.states import SubmissionStatus

log = structlog.get_logger(__name__)

MAX_CALLBACK_BYTES = 1_000_000
CALLBACK_RATE = "600/minute"  # for each shop and web process
NOT_FROM_PROVIDER = "The callback's signature is missing or does not match."


class CallbackGuard:
    """The token in the path: what we have not signed does not exist."""

    def __init__(
        self,
        providers: Mapping[str, Provider],
        secrets: Callable[[], Sequence[bytes]],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.providers, self.secrets, self.clock = providers, secrets, clock
        self.budget = parse_budget(CALLBACK_RATE)

    async def __call__(
        self, connection: ASGIConnection[Any, Any, Any, Any], _handler: BaseRouteHandler
    ) -> None:
        """Raise `RouteNotFound` or `TooManyRequests`."""
        name = connection.path_params["provider"]
        token = verify_callback(connection.path_params["token"], name, self.secrets())
        if token is None or name not in self.providers:
            raise RouteNotFound
        now = self.clock()
        if not self.budget.spend(token.shop, now):
            raise TooManyRequests(self.budget.seconds_left(now))
        mark_body_verified(connection.scope)
        connection.scope["auth"] = token


def callbacks_router(
    providers: Mapping[str, Provider], secrets: Callable[[], Sequence[bytes]]
) -> Router:
    """The route; `providers` by their names."""

    @post(
        "/{provider:str}/{token:str}",
        status_code=200,
        request_max_body_size=MAX_CALLBACK_BYTES,
    )
    async def receive_callback(
        request: Request[Any, Any, Any], database: NamedDependency[Database]
    ) -> Response[bytes]:
        token: CallbackToken = request.scope["auth"]
        provider_job_id = await named_job(providers[token.provider], request)
        if await note_callback(database, token, provider_job_id):
            log.info("callback_noted", provider=token.provider, job_id=token.job_id)
        return Response(b"")

    guard = CallbackGuard(providers, secrets)
    return Router(
        "/callbacks", route_handlers=[receive_callback], guards=[guard], include_in_schema=False
    )


async def named_job(provider: Provider, request: Request[Any, Any, Any]) -> str:
    """The provider's job that the callback is about.

    Raises `Unauthenticated`, `BadRequest` or `Unavailable`.
    """
    try:
        found = await provider.callback(dict(request.headers.items()), await request.body())
    except CallbackRefused as error:
        log.warning("callback_refused", provider=provider.name, cause=str(error)[:200])
        raise Unauthenticated(NOT_FROM_PROVIDER) from error
    except ProviderUnavailable as error:  # its keys cannot be read: it sends the callback again
        raise Unavailable("The callback could not be verified. Send it again.") from error
    if not 0 < len(found) <= MAX_ID or not found.isprintable():
        raise BadRequest("The callback names no job of the provider.")
    return found


async def note_callback(database: Database, token: CallbackToken, provider_job_id: str) -> bool:
    """Make the submission due; False if the callback says nothing new about it."""
    is_unanswered = Submission.status == SubmissionStatus.INTENDED
    is_running = and_(
        Submission.status == SubmissionStatus.SUBMITTED,
        Submission.provider_job_id == provider_job_id,
    )
    async with database.transaction(token.shop) as connection:
        noted = await connection.execute(
            update(Submission)
            .where(*this_submission(token.key), or_(is_unanswered, is_running))
            .values(
                wake_at=func.now(),
                hinted_id=case((is_unanswered, provider_job_id), else_=Submission.hinted_id),
            )
        )
    return noted.rowcount == 1
