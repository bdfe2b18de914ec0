"""Places within a provider's limits: one budget for all processes, counted from the submissions.

A request takes a place from its intent until the provider is done with it, or until its deadline:
one that never ends must not keep all others away. Whoever takes one holds
an advisory lock for the transaction, so no two processes count at the same time. Those that find no
place wait: `call_waiting` calls the oldest as places get free, in turns between the shops. Nobody
overtakes them: a new request takes a place only if one is left for each that waits.

A provider that refuses (its limits, an outage) is paused for all processes. Afterwards one request
tries it; once that is taken, the pause is over.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import (
    ColumnElement,
    and_,
    func,
    null,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.jobs.lifecycle import JobLease
from backend.jobs.models import Job
from backend.jobs.service import JobRef
from backend.jobs.states import UNFINISHED, JobStatus
from backend.leased_task import Fenced
from backend.providers.provider import Provider, ProviderLimits
from backend.retries import PROVIDERS
from backend.submissions.models import ProviderPause, Submission
from backend.submissions.records import SubmissionKey, this_submission
from backend.submissions.states import IN_FLIGHT, SubmissionStatus
from backend.worker.provider_calls import GRACE
from backend.worker.provider_pauses import outage_seconds
from backend.workflows.stages import StageName

PLACES_LOCK = 7_205_759_302  # first half of the advisory lock's key; the provider is the second
CALL_LIFETIME = timedelta(seconds=30)  # a called job that has not come by then is called again
MOST_CALLED = 50  # jobs of a provider that is given up, at once
ROWS_A_SLICE = 500
MINUTE = timedelta(minutes=1)


class PlaceUsage(msgspec.Struct, frozen=True, kw_only=True):
    """How much of a provider's limits is taken.

    `waiting` counts up to the limit. `is_paused` while nothing may be sent, `is_trial` after a
    pause, until a request is taken; `trials` are the requests under way that were sent since.
    """

    in_flight: int
    trials: int
    recent: int
    waiting: int
    called: int
    is_paused: bool
    is_trial: bool

    def free(self, limits: ProviderLimits) -> int:
        """How many more requests may be sent now."""
        if self.is_paused:
            return 0
        if self.is_trial:
            return max(1 - self.trials, 0)
        left = limits.concurrent - self.in_flight
        if limits.per_minute is not None:
            left = min(left, limits.per_minute - self.recent)
        return max(left, 0)


async def take_place(
    connection: AsyncConnection,
    claimed: JobLease,
    key: SubmissionKey,
    provider: Provider,
    *,
    seed: int,
    inputs: Mapping[str, str],
    has_callback: bool,
    wake_in: timedelta,
    deadline: timedelta,
) -> datetime | None:
    """Store the intent to send this request, or that it waits; the time of the intent, or None.

    The intent must be committed before the request is sent. The connection has entered no shop, for
    it counts those of all. Raises `Fenced` if somebody else has the job now.
    """
    await lock_job(connection, claimed)
    lock = func.pg_advisory_xact_lock(PLACES_LOCK % 2**31, func.hashtext(provider.name))
    await connection.execute(select(lock))
    status = await connection.scalar(select(Submission.status).where(*this_submission(key)))
    usage = await place_usage(connection, provider, besides=key)
    ahead = 0 if status else usage.waiting
    may_send = usage.free(provider.limits) > ahead
    columns = intent_columns(wake_in, deadline) if may_send else WAITING_COLUMNS
    columns |= {
        "provider": provider.name,
        "model": provider.models[StageName(key.stage)],
        "key_fingerprint": provider.key_fingerprint,
        "has_callback": has_callback,
        "inputs": inputs,
    }
    statement = (
        upsert(Submission)
        .values(
            shop_id=key.shop_id,
            job_id=key.job_id,
            stage=key.stage,
            number=key.number,
            reference=key.reference,
            seed=seed,
            **columns,
        )
        .on_conflict_do_update(
            index_elements=["shop_id", "job_id", "stage", "number"],
            set_=columns,
            where=Submission.status.in_((SubmissionStatus.WAITING, SubmissionStatus.INTENDED)),
        )
        .returning(Submission.intended_at)
    )
    row = (await connection.execute(statement)).one_or_none()
    if row is None:
        raise Fenced(key.job_id)
    return row.intended_at if may_send else None


WAITING_COLUMNS: dict[str, object] = {
    "status": SubmissionStatus.WAITING,
    "intended_at": null(),
    "wake_at": null(),
    "deadline_at": null(),
}


def intent_columns(wake_in: timedelta, deadline: timedelta) -> dict[str, object]:
    """The columns of an intent."""
    return {
        "status": SubmissionStatus.INTENDED,
        "intended_at": func.now(),
        "wake_at": func.now() + wake_in,
        "deadline_at": func.now() + deadline,
        "hinted_id": null(),
    }


def takes_place() -> ColumnElement[bool]:
    """Whether a submission takes one of its provider's places."""
    return and_(Submission.status.in_(IN_FLIGHT), Submission.deadline_at > func.now())


async def lock_job(connection: AsyncConnection, claimed: JobLease) -> None:
    """Lock the claimed job's row. Raises `Fenced` if the claim no longer holds."""
    ref = claimed.ref
    mine = (
        select(Job.public_id)
        .where(
            Job.shop_id == ref.shop_id,
            Job.public_id == ref.public_id,
            Job.attempt == claimed.attempt,
            Job.status == JobStatus.IN_PROGRESS,
        )
        .with_for_update()
    )
    if await connection.scalar(mine) is None:
        raise Fenced(ref.public_id)


async def place_usage(
    connection: AsyncConnection, provider: Provider, *, besides: SubmissionKey | None = None
) -> PlaceUsage:
    """What is taken of the provider's limits, without `besides`."""
    own = ~and_(*this_submission(besides)) if besides else Submission.provider.is_not(None)
    of_provider = and_(Submission.provider == provider.name, own)
    limit = provider.limits.concurrent
    waits = and_(of_provider, Submission.status == SubmissionStatus.WAITING)
    is_called = Submission.wake_at > func.now()
    pause = select(ProviderPause.until).where(ProviderPause.provider == provider.name)
    tries = and_(  # not one from before the pause, nor one whose answer was lost
        Submission.status == SubmissionStatus.INTENDED,
        Submission.intended_at >= func.greatest(pause.scalar_subquery(), func.now() - GRACE),
    )
    some_waiting = select(Submission.job_id).where(waits).limit(limit).subquery()
    counted = await connection.execute(
        select(
            count_of(of_provider, takes_place()).label("in_flight"),
            count_of(of_provider, tries).label("trials"),
            count_of(of_provider, Submission.intended_at > func.now() - MINUTE).label("recent"),
            select(func.count()).select_from(some_waiting).scalar_subquery().label("waiting"),
            count_of(waits, is_called).label("called"),
            func.coalesce(pause.scalar_subquery() > func.now(), False).label("is_paused"),
            pause.exists().label("is_trial"),
        )
    )
    return PlaceUsage(**counted.mappings().one())


def count_of(*conditions: ColumnElement[bool]) -> ColumnElement[int]:
    """How many submissions meet the conditions."""
    return select(func.count()).select_from(Submission).where(*conditions).scalar_subquery()


async def call_waiting(connection: AsyncConnection, provider: Provider) -> list[JobRef]:
    """Call as many waiting jobs as there are places: the oldest of the shop with the fewest.

    Their jobs are to be put on the queue in the same transaction. If another process is doing this,
    none are called here.
    """
    locked = func.pg_try_advisory_xact_lock(PLACES_LOCK % 2**31, func.hashtext(provider.name))
    if not await connection.scalar(select(locked)):
        return []
    usage = await place_usage(connection, provider)
    if usage.waiting == 0:
        return []
    called: list[JobRef] = []
    outage = timedelta(seconds=await outage_seconds(connection, provider.name))
    if PROVIDERS.is_exhausted(outage):  # those that have waited for as long give up
        called += await call_next(connection, provider, MOST_CALLED, PROVIDERS.give_up_after)
    free = usage.free(provider.limits) - usage.called - len(called)
    return called + (await call_next(connection, provider, free) if free > 0 else [])


async def call_next(
    connection: AsyncConnection,
    provider: Provider,
    count: int,
    waited: timedelta | None = None,
) -> list[JobRef]:
    """Call those whose turn it is; with `waited`, of those that have waited for that long."""
    rows = await connection.execute(
        update(Submission)
        .where(
            tuple_(Submission.shop_id, Submission.job_id, Submission.stage, Submission.number).in_(
                next_in_turn(provider, count, waited or timedelta(0))
            )
        )
        .values(wake_at=func.now() + CALL_LIFETIME)
        .returning(Submission.shop_id, Submission.job_id)
    )
    return job_refs(rows.all())


def next_in_turn(provider: Provider, count: int, waited: timedelta) -> Any:
    """The keys of those that are called next: as if the shops took turns."""
    waits = (
        Submission.provider == provider.name,
        Submission.status == SubmissionStatus.WAITING,
        Submission.created_at <= func.now() - waited,
        or_(Submission.wake_at.is_(None), Submission.wake_at <= func.now()),
    )
    taken = (
        select(Submission.shop_id, func.count().label("count"))
        .where(Submission.provider == provider.name, takes_place())
        .group_by(Submission.shop_id)
        .subquery("taken")
    )
    turn = (
        func.row_number().over(partition_by=Submission.shop_id, order_by=Submission.created_at)
        + func.coalesce(taken.c.count, 0)
    ).label("turn")
    return (
        select(Submission.shop_id, Submission.job_id, Submission.stage, Submission.number)
        .outerjoin(taken, taken.c.shop_id == Submission.shop_id)
        .where(*waits)
        .order_by(turn, Submission.created_at)
        .limit(count)
    )


def job_refs(rows: Sequence[Any]) -> list[JobRef]:
    """The jobs of these rows."""
    return [JobRef(shop_id=row.shop_id, public_id=row.job_id) for row in rows]


async def cancel_waiting(connection: AsyncConnection) -> int:
    """Settle a slice of those that wait for jobs that have ended; how many there were."""
    job = select(Job.public_id).where(
        Job.shop_id == Submission.shop_id,
        Job.public_id == Submission.job_id,
        Job.status.in_(UNFINISHED),
    )
    keys = (Submission.shop_id, Submission.job_id, Submission.stage, Submission.number)
    waits = Submission.status == SubmissionStatus.WAITING
    found = select(*keys).where(waits, ~job.exists()).limit(ROWS_A_SLICE)
    ended = await connection.execute(
        update(Submission)
        .where(tuple_(*keys).in_(found), waits)
        .values(status=SubmissionStatus.CANCELLED, settled_at=func.now(), wake_at=null())
    )
    return ended.rowcount
