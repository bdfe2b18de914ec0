"""Run a task of the queue under a lease: claim it, work on it, say what becomes of its queue entry.

A lease is the right to write on the task's row until somebody claims the task again. Each claim
raises the row's `attempt`. Every later write names the attempt that it belongs to; one that comes
too late raises `Fenced` and changes nothing. No transaction is open while the task is worked on.

| the run                              | the task                                               |
|--------------------------------------|--------------------------------------------------------|
| returns `Done` or `Retry`            | ends, or runs again after that time                    |
| raises `Fenced`                      | is somebody else's; our queue entry goes               |
| raises `HandedOver` (we are to stop) | is run again at once, by another worker                |
| raises `DatabaseUnavailable`         | is run again once the database is back                 |
| raises `NeedsReauth` or the like     | waits, off the queue, until a merchant opens the app   |
| raises an outage, of its `failures`  | waits with growing pauses, until its policy gives up   |
| raises another of its `failures`     | `after_failure` decides                                |
| is killed                            | is claimed again; too often, and its kind ends it      |

A hand-over, an outage and a wait for the merchant are no fault of the task's: the attempt is
returned, so that it does not count towards the "too often" of the last line.

The kinds are in `worker/execute.py` (jobs), `publications/execution.py`, `batches/execution.py`. A
new one is a row with `attempt`, the number of attempts that nobody came back from and `outages`; a
`TaskKind`; and an entry point in `worker/run.py`. Two kinds of work only share the outcomes:

- Outbound webhooks (`worker/endpoint_deliveries.py`). Their queue entry is for an endpoint and
  makes many deliveries. Each has a claim of its own, and the receiver's answer decides on a retry.
- Webhook deliveries from Shopify (`worker/webhook_dispatch.py`). Their handlers are idempotent, so
  two may run at once, and there is nothing to fence. As a kind they would claim by
  `webhooks.receive.claim_delivery`, return the attempt by `survive`, and have every `Exception`
  among their `failures`.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

import msgspec
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.db import Database
from backend.errors import ConfigurationError, DatabaseUnavailable
from backend.retries import (
    LOCKED_OUT_PAUSE,
    MAX_CLAIMS,
    RetryPolicy,
    requested_wait,
    retry_until_database_is_back,
)
from backend.shops.token_encryption import UnknownKey
from backend.shops.tokens import NeedsReauth, is_parked

log = structlog.get_logger(__name__)

# The shop is locked out, or this process is set up wrong: it lacks the key of the shop's tokens, or
# Shopify refuses the app's own credentials. Neither is the task's fault.
LOCKED_OUT = (NeedsReauth, UnknownKey, ConfigurationError)


class Done(msgspec.Struct, frozen=True):
    """Nothing more to do: the task has ended, or waits off the queue, or somebody else has it."""


class Retry(msgspec.Struct, frozen=True):
    """Run it again after `delay`."""

    delay: timedelta


TaskOutcome: TypeAlias = Done | Retry
AT_ONCE = Retry(timedelta(0))


class Fenced(Exception):
    """Somebody else has the task now, or it has ended: stop, and write nothing."""


class HandedOver(Exception):
    """This process is to stop, and the task can be left here."""


class TaskContext(Protocol):
    """What the runner needs of a process; `stopping` is set once the process is to stop."""

    @property
    def database(self) -> Database: ...
    @property
    def stopping(self) -> asyncio.Event: ...


LeaseT = TypeVar("LeaseT")  # has `ref.shop_id`, `attempt`, and what the kind names in `logged`
ContextT = TypeVar("ContextT", bound=TaskContext)


@dataclass(frozen=True, kw_only=True)
class TaskKind(Generic[LeaseT, ContextT]):
    """How one kind of task is run. What takes a connection is part of the caller's transaction.

    name: begins its log events.
    logged: the attributes of a lease that the log tells.
    run: takes the task as far as it goes, and raises what the table above says.
    failures: the errors by which `run` says that the task cannot go on.
    outage: the code of the outage behind one of them; None when waiting cures nothing.
    wait_out: returns the attempt and counts an outage; how many in a row. Raises `Fenced`.
    wait_for_reauth: notes that the task waits for the shop's merchant. Raises `Fenced`.
    after_failure: what a failure means that is not waited out, or no longer.
    outage_policy: how such an outage is waited out, where that is not by `policy`.
    """

    name: str
    logged: tuple[str, ...] = ("attempt",)
    policy: RetryPolicy
    run: Callable[[LeaseT, ContextT], Awaitable[TaskOutcome]]
    failures: tuple[type[Exception], ...]
    outage: Callable[[Any], str | None]
    return_attempt: Callable[[AsyncConnection, LeaseT], Awaitable[object]]
    wait_out: Callable[[AsyncConnection, LeaseT, Any], Awaitable[int]]
    wait_for_reauth: Callable[[AsyncConnection, LeaseT], Awaitable[None]]
    after_failure: Callable[[LeaseT, ContextT, Any], Awaitable[TaskOutcome]]
    outage_policy: Callable[[Any], RetryPolicy] | None = None


async def run_task(
    kind: TaskKind[Any, ContextT],
    context: ContextT,
    claim: Callable[[], Awaitable[Any]],
    **labels: str,
) -> TaskOutcome:
    """Take a task as far as it goes; what is to become of its queue entry.

    `claim` returns the lease, or None when there is nothing to do. The log's lines get `labels`.
    """
    with structlog.contextvars.bound_contextvars(**labels):
        try:
            lease = await claim()
            return await leased(kind, lease, context) if lease else Done()
        except Fenced:  # by whoever cancels it or takes it back, as a rule
            log.info(f"{kind.name}_fenced")
            return Done()
        except DatabaseUnavailable:
            log.warning(f"{kind.name}_interrupted", code=DatabaseUnavailable.code)
            return Retry(kind.policy.pause(1))


async def leased(kind: TaskKind[Any, ContextT], lease: Any, context: ContextT) -> TaskOutcome:
    """Work on a claimed task. Raises `DatabaseUnavailable` once the database is back."""
    log.info(f"{kind.name}_claimed", **{name: getattr(lease, name) for name in kind.logged})
    try:
        return await outcome_of_run(kind, lease, context)
    except HandedOver:
        log.info(f"{kind.name}_handed_over")
        await give_back(kind, lease, context)
        return AT_ONCE
    except DatabaseUnavailable:
        await give_back(kind, lease, context)
        raise


async def outcome_of_run(
    kind: TaskKind[Any, ContextT], lease: Any, context: ContextT
) -> TaskOutcome:
    """Run the task, and decide what an error means for it."""
    try:
        return await kind.run(lease, context)
    except kind.failures as error:
        return await after_failure(kind, lease, context, error)
    except LOCKED_OUT as error:
        return await after_lockout(kind, lease, context, error)


async def after_failure(
    kind: TaskKind[Any, ContextT], lease: Any, context: ContextT, error: Exception
) -> TaskOutcome:
    """Wait an outage out, and not shorter than Shopify asks; else the kind decides."""
    if code := kind.outage(error):
        async with context.database.transaction(lease.ref.shop_id) as connection:
            outages = await kind.wait_out(connection, lease, error)
        policy = kind.outage_policy(error) if kind.outage_policy else kind.policy
        if not policy.is_exhausted(policy.waited(outages)):
            cause = str(error.__cause__ or error)[:300]
            log.warning(f"{kind.name}_waits_out", code=code, outages=outages, cause=cause)
            asked = max(requested_wait(error), requested_wait(error.__cause__))
            return Retry(policy.pause(outages, at_least=asked))
    return await kind.after_failure(lease, context, error)


async def after_lockout(
    kind: TaskKind[Any, ContextT], lease: Any, context: ContextT, error: Exception
) -> TaskOutcome:
    """Let the task wait, off the queue, until a merchant opens the app.

    If the shop is not parked, it was opened again just now, or was closed, or the error is our own
    (`LOCKED_OUT`): then the task is tried again.
    """
    log.warning(f"{kind.name}_waits", cause=repr(error)[:300])
    async with context.database.transaction(lease.ref.shop_id) as connection:
        parked = await is_parked(connection, lease.ref.shop_id)  # the shop first, as an uninstall
        await kind.wait_for_reauth(connection, lease)
    return Done() if parked else Retry(LOCKED_OUT_PAUSE)


async def give_back(kind: TaskKind[Any, ContextT], lease: Any, context: ContextT) -> None:
    """Return the attempt once the database is back; after many, the task may be what breaks it."""
    if lease.attempt >= MAX_CLAIMS:
        return

    async def return_attempt() -> None:
        async with context.database.transaction(lease.ref.shop_id) as connection:
            await kind.return_attempt(connection, lease)

    await retry_until_database_is_back(return_attempt, context.stopping)
