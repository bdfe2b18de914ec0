"""Deliver events to one webhook endpoint: what is due, a few at a time, until nothing is.

A healthy endpoint gets `SIDE_BY_SIDE` deliveries at once. One that fails gets one, and after a
failure everything waits for a pause: so an endpoint that is down holds one place of the worker for
one attempt between two pauses, however many deliveries are due and events come. Places are shared
as `worker.capacity` says, apart from those of jobs.
"""

import asyncio
import time
from datetime import timedelta

import structlog

from backend import queue
from backend.errors import DatabaseUnavailable
from backend.leased_task import AT_ONCE, Done, Fenced, Retry, TaskOutcome
from backend.metrics import ENDPOINT_DELIVERIES, ENDPOINTS_DISABLED, increment, start_at_zero
from backend.retries import LOCKED_OUT_PAUSE
from backend.shops.token_encryption import TokenUnreadable, UnknownKey
from backend.webhook_endpoints.attempts import OutgoingEvent, attempt_delivery
from backend.webhook_endpoints.queue_entries import EndpointRef, wake_endpoint
from backend.webhook_endpoints.schedule import MOST_ATTEMPTS, probe_pause
from backend.webhook_endpoints.secrets import decrypted_secret
from backend.worker.context import WorkerContext
from backend.worker.endpoint_leases import (
    ROWS_PER_SLICE,
    ClaimedDelivery,
    EndpointHealth,
    EndpointLease,
    claim_due,
    end_some_deliveries,
    keep_endpoint,
    lease_endpoint,
    release_endpoint,
    store_result,
)

log = structlog.get_logger(__name__)

start_at_zero(ENDPOINT_DELIVERIES, ("succeeded", "retried", "given_up"))
start_at_zero(ENDPOINTS_DISABLED, ("GONE", "FAILING"))

SIDE_BY_SIDE = 4  # deliveries to one endpoint at once
RUN_SECONDS = 20.0  # then other endpoints get the place
WITHIN_REACH = timedelta(minutes=1)  # what is due later is woken by `worker.endpoint_upkeep`
DATABASE_PAUSE = timedelta(seconds=2)


async def deliver_events(ref: EndpointRef, context: WorkerContext) -> TaskOutcome:
    """Deliver what is due; when the endpoint is to be looked at again."""
    with structlog.contextvars.bound_contextvars(endpoint_id=ref.endpoint_id):
        try:
            async with context.database.transaction(ref.shop_id) as connection:
                lease = await lease_endpoint(connection, ref)
            if lease is None:
                return Done()
            return await deliver_leased(lease, context)
        except Fenced:
            return Done()
        except DatabaseUnavailable:
            return Retry(DATABASE_PAUSE)
        except UnknownKey as error:
            log.warning("endpoint_waits", cause=str(error))
            return Retry(LOCKED_OUT_PAUSE)
        except TokenUnreadable as error:
            log.error("endpoint_secret_unreadable", cause=str(error))
            return Done()


async def deliver_leased(lease: EndpointLease, context: WorkerContext) -> TaskOutcome:
    """Deliver until nothing is due, one fails, or the time is over; then give the endpoint back."""
    ends_at = time.monotonic() + RUN_SECONDS
    failures = 0  # of the endpoint in a row, once an attempt has failed here
    while not failures and time.monotonic() < ends_at and not context.stopping.is_set():
        async with context.database.transaction(lease.ref.shop_id) as connection:
            lease = await keep_endpoint(connection, lease)
            secrets = secrets_of(lease, context)
            claimed = await claim_due(connection, lease.ref, 1 if lease.failures else SIDE_BY_SIDE)
        if not claimed:
            break
        found = await asyncio.gather(
            *(deliver_one(lease, secrets, each, context) for each in claimed)
        )
        failures = max(health.failures for health in found)
    async with context.database.transaction(lease.ref.shop_id) as connection:
        due_in = await release_endpoint(connection, lease)
        outcome = next_look(due_in, failures)
        if outcome == AT_ONCE:
            # By a new entry: ours would come before the other endpoints', which are newer.
            again = wake_endpoint(lease.ref, cause=lease.until.isoformat())
            await queue.enqueue(connection, again)
            outcome = Done()
    return outcome


def secrets_of(lease: EndpointLease, context: WorkerContext) -> tuple[str, ...]:
    """The valid secrets, newest first. Raises `TokenUnreadable` or `UnknownKey`."""
    stored = filter(None, (lease.secret, lease.previous_secret))
    keys, endpoint_id = context.admin.token_keys, lease.ref.endpoint_id
    return tuple(decrypted_secret(keys, endpoint_id, each) for each in stored)


async def deliver_one(
    lease: EndpointLease,
    secrets: tuple[str, ...],
    claimed: ClaimedDelivery,
    context: WorkerContext,
) -> EndpointHealth:
    """Make one attempt without a transaction open, and store its result in a short one."""
    event = OutgoingEvent(
        event_id=claimed.event_id, body=claimed.body, url=lease.url, secrets=secrets
    )
    result = await attempt_delivery(context.endpoint_transport, event)
    try:
        async with context.database.transaction(claimed.shop_id) as connection:
            health = await store_result(connection, lease, claimed, result)
    except Fenced:
        return EndpointHealth(failures=0)
    told = {"event_id": claimed.event_id, "status": result.status, "ms": result.ms}
    if result.error is None:
        log.info("event_delivered", **told)
    else:
        log.warning(
            "event_not_delivered", error=result.error, attempts=claimed.attempts + 1, **told
        )
    increment(ENDPOINT_DELIVERIES, attempt_outcome(claimed, result.error is None))
    if health.disabled:
        log.error("endpoint_disabled", reason=health.disabled, shop_id=lease.ref.shop_id)
        increment(ENDPOINTS_DISABLED, health.disabled)
        await end_deliveries(lease.ref, context)
    return health


async def end_deliveries(ref: EndpointRef, context: WorkerContext) -> None:
    """End what is pending for an endpoint that is switched off, slice by slice.

    What is left by a crash is ended by `worker.endpoint_upkeep`.
    """
    ended = ROWS_PER_SLICE
    while ended == ROWS_PER_SLICE:
        async with context.database.transaction(ref.shop_id) as connection:
            ended = await end_some_deliveries(connection, ref)


def next_look(due_in: timedelta | None, failures: int) -> TaskOutcome:
    """When to look again: after the pause of a failure, for what is due or comes until then."""
    if failures:
        return Retry(probe_pause(failures))
    if due_in is None or due_in > WITHIN_REACH:
        return Done()
    return Retry(due_in) if due_in else AT_ONCE


def attempt_outcome(claimed: ClaimedDelivery, is_delivered: bool) -> str:
    """The metric's label for an attempt."""
    if is_delivered:
        return "succeeded"
    return "retried" if claimed.attempts + 1 < MOST_ATTEMPTS else "given_up"
