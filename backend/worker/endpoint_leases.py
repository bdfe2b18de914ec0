"""The worker's writes for outbound webhooks: lease an endpoint, claim what is due, store results.

One worker at a time has an endpoint, until `drained_until`. A claim of a delivery moves its
`next_attempt_at` to where the attempt is certainly over: after a crash it is simply due again. Its
result is fenced by `claims`, so one that comes too late changes nothing.
"""

from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import (
    ColumnElement,
    Integer,
    SmallInteger,
    Text,
    case,
    cast,
    exists,
    func,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import JSONPATH
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.leased_task import Fenced
from backend.shops.models import Shop
from backend.webhook_endpoints.attempts import AttemptResult
from backend.webhook_endpoints.models import (
    ENDED,
    NOT_FAILING,
    AppWebhookEndpoint,
    EndpointDelivery,
    WebhookEndpoint,
)
from backend.webhook_endpoints.queue_entries import EndpointRef
from backend.webhook_endpoints.schedule import (
    DISABLED_AFTER,
    SEPARATE_OUTAGES,
    pause_after_failure,
    probe_pause,
)
from backend.webhook_endpoints.schemas import KEPT_ATTEMPTS

LEASE = timedelta(seconds=45)  # three times as long as an attempt may take
ROWS_PER_SLICE = 5000  # deliveries that one statement ends


class EndpointLease(msgspec.Struct, frozen=True, kw_only=True):
    """The right to deliver to an endpoint until `until`, with what is needed for it."""

    ref: EndpointRef
    until: datetime
    url: str
    secret: str
    previous_secret: str | None
    failures: int


class ClaimedDelivery(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery to make now; `attempts` were made before."""

    shop_id: int
    id: str
    claims: int
    attempts: int
    event_id: str
    body: str


class EndpointHealth(msgspec.Struct, frozen=True, kw_only=True):
    """What an endpoint is after a result; `disabled` is why that result has switched it off."""

    failures: int
    disabled: str | None = None


async def lease_endpoint(connection: AsyncConnection, ref: EndpointRef) -> EndpointLease | None:
    """Lease the endpoint; None if another worker has it, or nothing is to be sent to it now.

    The row is locked before it is looked at: an UPDATE of free rows would not wait for a worker
    that is giving the endpoint back, and its last look may have missed what this one is woken for.
    """
    model = model_of(ref)
    now = func.clock_timestamp()
    looked_at = select(
        (func.coalesce(model.drained_until, now) <= now).label("is_free"),
        model.failures,
        (now - model.last_failed_at).label("since_failure"),
    ).where(*live_endpoint(ref))
    row = await connection.execute(looked_at.with_for_update(key_share=True, of=model))
    found = row.one_or_none()
    if found is None or not found.is_free:
        return None
    if found.failures and found.since_failure < probe_pause(found.failures):
        return None  # whoever has failed comes back after the pause
    return await leased_row(connection, ref, update(model).where(*endpoint_key(ref)))


async def keep_endpoint(connection: AsyncConnection, lease: EndpointLease) -> EndpointLease:
    """Renew the lease, with what was changed meanwhile. Raises `Fenced` if it was lost."""
    held = update(model_of(lease.ref)).where(*leased_endpoint(lease), *live_endpoint(lease.ref))
    kept = await leased_row(connection, lease.ref, held)
    if kept is None:
        raise Fenced(lease.ref.endpoint_id)
    return kept


async def leased_row(
    connection: AsyncConnection, ref: EndpointRef, change: Any
) -> EndpointLease | None:
    """The lease that this UPDATE takes, if it finds its row."""
    model = model_of(ref)
    previous = case((model.previous_secret_until > func.now(), model.previous_secret))
    row = await connection.execute(
        change.values(drained_until=func.clock_timestamp() + LEASE).returning(
            model.drained_until.label("until"),
            model.url,
            model.secret,
            previous.label("previous_secret"),
            model.failures,
        )
    )
    found = row.mappings().one_or_none()
    return None if found is None else EndpointLease(ref=ref, **found)


async def claim_due(
    connection: AsyncConnection, ref: EndpointRef, most: int
) -> list[ClaimedDelivery]:
    """Claim deliveries that are due, the longest due first."""
    key = (EndpointDelivery.shop_id, EndpointDelivery.id)
    due = (
        select(*key)
        .where(*pending_of(ref), EndpointDelivery.next_attempt_at <= func.now())
        .order_by(EndpointDelivery.next_attempt_at)
        .limit(most)
        .with_for_update(skip_locked=True)
    )
    claimed = (
        update(EndpointDelivery)
        .where(tuple_(*key).in_(due))
        .values(claims=EndpointDelivery.claims + 1, next_attempt_at=func.now() + LEASE)
        .returning(
            *key,
            EndpointDelivery.claims,
            EndpointDelivery.attempts,
            EndpointDelivery.event_id,
            EndpointDelivery.body,
        )
    )
    return [ClaimedDelivery(**row) for row in (await connection.execute(claimed)).mappings()]


async def store_result(
    connection: AsyncConnection,
    lease: EndpointLease,
    claimed: ClaimedDelivery,
    result: AttemptResult,
) -> EndpointHealth:
    """Store what came of an attempt, on the delivery and on its endpoint.

    Raises `Fenced` if the delivery was claimed again or sent again meanwhile.
    """
    attempts = claimed.attempts + 1
    pause = pause_after_failure(attempts, result.wait) if result.error else None
    status = "succeeded" if result.error is None else "pending" if pause else "failed"
    stored = await connection.execute(
        update(EndpointDelivery)
        .where(
            EndpointDelivery.shop_id == claimed.shop_id,
            EndpointDelivery.id == claimed.id,
            EndpointDelivery.claims == claimed.claims,
            EndpointDelivery.status == "pending",
        )
        .values(
            status=status,
            attempts=attempts,
            next_attempt_at=func.now() + pause if pause else None,
            last_attempt_at=func.now(),
            response_status=result.status,
            response_ms=result.ms,
            response_body=result.body,
            error=result.error,
            latest_attempts=attempts_with(result),
        )
    )
    if not stored.rowcount:
        raise Fenced(claimed.id)
    return await store_health(connection, lease, result)


def attempts_with(result: AttemptResult) -> ColumnElement[Any]:
    """The delivery's newest attempts with this one, newest first."""
    this = func.jsonb_build_object(
        *("attempted_at", func.now(), "response_status", cast(result.status, SmallInteger)),
        *("response_ms", cast(result.ms, Integer), "error", cast(result.error, Text)),
    )
    every = func.jsonb_build_array(this).op("||")(EndpointDelivery.latest_attempts)
    return func.jsonb_path_query_array(every, cast(f"$[0 to {KEPT_ATTEMPTS - 1}]", JSONPATH))


async def store_health(
    connection: AsyncConnection, lease: EndpointLease, result: AttemptResult
) -> EndpointHealth:
    """Count the failure, or that there is none any more; switch off what has failed too long.

    Failures side by side are one: a receiver that is away for a second is not left alone for long.
    """
    ref, model = lease.ref, model_of(lease.ref)
    this = endpoint_key(ref)
    if result.error is None:
        is_failing = model.last_failed_at.is_not(None)
        await connection.execute(update(model).where(*this, is_failing).values(NOT_FAILING))
        return EndpointHealth(failures=0)
    is_new = model.last_failed_at.is_(None) | (model.last_failed_at < func.now() - SEPARATE_OUTAGES)
    failing_since = case((is_new, func.now()), else_=func.coalesce(model.failing_since, func.now()))
    failures = func.least(model.failures, lease.failures) + 1
    counted = (
        update(model)
        .where(*this)
        .values(failures=failures, failing_since=failing_since, last_failed_at=func.now())
        .returning(
            model.failures,
            (model.failing_since <= func.now() - DISABLED_AFTER).label("is_over"),
        )
    )
    row = (await connection.execute(counted)).one_or_none()
    if row is None:
        return EndpointHealth(failures=1)
    reason = "GONE" if result.is_gone else "FAILING" if row.is_over else None
    if reason and await disable(connection, ref, reason):
        return EndpointHealth(failures=row.failures, disabled=reason)
    return EndpointHealth(failures=row.failures)


async def disable(connection: AsyncConnection, ref: EndpointRef, reason: str) -> bool:
    """Switch the endpoint off; whether it was on."""
    model = model_of(ref)
    off = await connection.execute(
        update(model)
        .where(*endpoint_key(ref), model.disabled_at.is_(None))
        .values(disabled_at=func.now(), disabled_reason=reason)
    )
    return bool(off.rowcount)


async def end_some_deliveries(connection: AsyncConnection, ref: EndpointRef) -> int:
    """End some of the deliveries of an endpoint that is switched off; how many."""
    model = model_of(ref)
    is_off = exists().where(*endpoint_key(ref), model.disabled_at.is_not(None))
    key = (EndpointDelivery.shop_id, EndpointDelivery.id)
    some = select(*key).where(*pending_of(ref), is_off).limit(ROWS_PER_SLICE)
    ended = await connection.execute(
        update(EndpointDelivery)
        .where(tuple_(*key).in_(some.with_for_update(of=EndpointDelivery)))
        .values(ENDED)
    )
    return ended.rowcount


async def release_endpoint(connection: AsyncConnection, lease: EndpointLease) -> timedelta | None:
    """Give the endpoint back; return when its next delivery is due, None if there is none.

    The row is locked before the last look: what commits after it has a queue entry of its own,
    which waits for this lock and then has the endpoint.
    """
    model = model_of(lease.ref)
    held = select(model.id).where(*leased_endpoint(lease)).with_for_update(key_share=True)
    if await connection.scalar(held) is None:
        raise Fenced(lease.ref.endpoint_id)
    first_due = func.min(EndpointDelivery.next_attempt_at) - func.clock_timestamp()
    left: timedelta | None = await connection.scalar(
        select(first_due).where(*pending_of(lease.ref))
    )
    await connection.execute(
        update(model).where(*endpoint_key(lease.ref)).values(drained_until=None)
    )
    return None if left is None else max(left, timedelta(0))


def model_of(ref: EndpointRef) -> type[WebhookEndpoint] | type[AppWebhookEndpoint]:
    """The table that has the endpoint."""
    return AppWebhookEndpoint if ref.shop_id is None else WebhookEndpoint


def endpoint_key(ref: EndpointRef) -> tuple[ColumnElement[bool], ...]:
    """The endpoint."""
    if ref.shop_id is None:
        return (AppWebhookEndpoint.id == ref.endpoint_id,)
    return WebhookEndpoint.shop_id == ref.shop_id, WebhookEndpoint.id == ref.endpoint_id


def live_endpoint(ref: EndpointRef) -> tuple[ColumnElement[bool], ...]:
    """The endpoint, if something may be sent to it."""
    model = model_of(ref)
    live = (*endpoint_key(ref), model.disabled_at.is_(None), model.deleted_at.is_(None))
    if ref.shop_id is None:
        return live
    return *live, exists().where(Shop.id == ref.shop_id, Shop.status == "installed")


def leased_endpoint(lease: EndpointLease) -> tuple[ColumnElement[bool], ...]:
    """The endpoint, while nobody else has it."""
    return *endpoint_key(lease.ref), model_of(lease.ref).drained_until == lease.until


def pending_of(ref: EndpointRef) -> tuple[ColumnElement[bool], ...]:
    """The endpoint's deliveries that are still to be made."""
    is_pending = EndpointDelivery.status == "pending"
    if ref.shop_id is None:
        return EndpointDelivery.app_endpoint_id == ref.endpoint_id, is_pending
    return (
        EndpointDelivery.shop_id == ref.shop_id,
        EndpointDelivery.endpoint_id == ref.endpoint_id,
        is_pending,
    )
