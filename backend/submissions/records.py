"""Reads and writes of one submission.

What a provider has answered is true whoever has the job meanwhile, so these writes are not fenced
by the job's attempt. Each names the states that it may leave, and says whether it changed anything.
"""

import hashlib
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import BigInteger, case, cast, extract, func, null, select, true, update
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.failures.registry import Failure
from backend.metrics import (
    POSSIBLE_DOUBLE_COSTS,
    PROVIDER_COST,
    SUBMISSIONS_SETTLED,
    increment,
)
from backend.providers.provider import ProviderCost, ProviderJob
from backend.submissions.models import Submission
from backend.submissions.states import OPEN_STATES, POLLED, SubmissionStatus

MAX_ID = 500  # characters of a provider's id
SEED_COUNT = 2**31


class SubmissionKey(msgspec.Struct, frozen=True, kw_only=True):
    """Which request: the `number`-th for that stage of the job."""

    shop_id: int
    job_id: str
    stage: str
    number: int

    @property
    def reference(self) -> str:
        """32 hex digits that tell the provider this request from every other one."""
        return self._digest("reference").hex()[:32]

    @property
    def seed(self) -> int:
        """The seed where the job's request names none: the same whenever this one is made."""
        return int.from_bytes(self._digest("seed")[:8]) % SEED_COUNT

    def _digest(self, what: str) -> bytes:
        parts = (what, str(self.shop_id), self.job_id, self.stage, str(self.number))
        return hashlib.sha256("\0".join(parts).encode()).digest()


class StoredSubmission(msgspec.Struct, frozen=True, kw_only=True):
    """A submission as a worker reads it.

    The times are in seconds by the database's clock: since the intent, since the row was made, and
    how long its deadline has passed (negative before it).
    """

    key: SubmissionKey
    provider: str
    status: str
    seed: int
    model: str | None
    key_fingerprint: str | None
    inputs: dict[str, str]
    has_callback: bool
    provider_job_id: str | None
    handles: dict[str, str]
    hinted_id: str | None
    outages: int
    failure: Failure | None
    intended_at: datetime | None
    since_intent: float
    since_creation: float
    since_deadline: float

    @property
    def provider_job(self) -> ProviderJob | None:
        """The provider's job; None for a provider that answers at once, and before its answer."""
        if self.provider_job_id is None:
            return None
        return ProviderJob(id=self.provider_job_id, handles=self.handles)


def seconds_since(moment: Any) -> Any:
    """Seconds from then until now; 0 where there is no such time."""
    return func.coalesce(extract("epoch", func.now() - moment), 0)


SUBMISSION_COLUMNS = (
    Submission.shop_id,
    Submission.job_id,
    Submission.stage,
    Submission.number,
    Submission.provider,
    Submission.status,
    Submission.seed,
    Submission.model,
    Submission.key_fingerprint,
    Submission.inputs,
    Submission.has_callback,
    Submission.provider_job_id,
    Submission.handles,
    Submission.hinted_id,
    Submission.outages,
    Submission.failure,
    Submission.intended_at,
    seconds_since(Submission.intended_at).label("since_intent"),
    seconds_since(Submission.created_at).label("since_creation"),
    seconds_since(Submission.deadline_at).label("since_deadline"),
)


def submission_of(row: Any) -> StoredSubmission:
    """A row of `SUBMISSION_COLUMNS`."""
    found = dict(row)
    key = SubmissionKey(**{name: found.pop(name) for name in SubmissionKey.__struct_fields__})
    for name in ("since_intent", "since_creation", "since_deadline"):
        found[name] = float(found[name])
    failure = found.pop("failure")
    stored = msgspec.convert(failure, Failure) if failure else None
    named = {name: found[name] for name in StoredSubmission.__struct_fields__ if name in found}
    return StoredSubmission(key=key, failure=stored, **named)


def this_submission(key: SubmissionKey, *statuses: str) -> tuple[Any, ...]:
    """The submission, while it has one of these states."""
    return (
        Submission.shop_id == key.shop_id,
        Submission.job_id == key.job_id,
        Submission.stage == key.stage,
        Submission.number == key.number,
        *((Submission.status.in_(statuses),) if statuses else ()),
    )


async def latest_submission(
    connection: AsyncConnection, *, shop_id: int, job_id: str, stage: str
) -> StoredSubmission | None:
    """The stage's newest submission."""
    found = (
        select(*SUBMISSION_COLUMNS)
        .where(
            Submission.shop_id == shop_id, Submission.job_id == job_id, Submission.stage == stage
        )
        .order_by(Submission.number.desc())
        .limit(1)
    )
    row = (await connection.execute(found)).mappings().one_or_none()
    return submission_of(row) if row else None


async def record_answer(
    connection: AsyncConnection,
    key: SubmissionKey,
    intended_at: datetime | None,
    job: ProviderJob | None,
    *,
    wake_in: timedelta,
    cost: ProviderCost | None = None,
) -> bool:
    """Store that the provider has accepted the request; False if the intent is no longer this one.

    Without a `job` the provider has answered with the result, which only this process has.
    """
    changed = await connection.execute(
        update(Submission)
        .where(
            *this_submission(key, SubmissionStatus.INTENDED), Submission.intended_at == intended_at
        )
        .values(
            status=SubmissionStatus.SUBMITTED,
            submitted_at=func.now(),
            wake_at=func.now() + wake_in,
            outages=0,
            provider_job_id=job.id if job else None,
            handles=job.handles if job else {},
            **cost_columns(cost or ProviderCost()),
        )
    )
    return changed.rowcount == 1


async def record_surplus(
    connection: AsyncConnection, key: SubmissionKey, provider: str, job_id: str | None
) -> bool:
    """Note that the provider has accepted this request beside another one, unless it is that one.

    Returns whether it was a surplus.
    """
    is_other = true() if job_id is None else Submission.provider_job_id.is_distinct_from(job_id)
    changed = await connection.execute(
        update(Submission).where(*this_submission(key), is_other).values(possible_double_cost=True)
    )
    if changed.rowcount:
        increment(POSSIBLE_DOUBLE_COSTS, provider)
    return changed.rowcount == 1


async def unsend(
    connection: AsyncConnection, key: SubmissionKey, intended_at: datetime | None
) -> bool:
    """Take an intent back whose request the provider has not taken: it waits for a place again."""
    changed = await connection.execute(
        update(Submission)
        .where(
            *this_submission(key, SubmissionStatus.INTENDED), Submission.intended_at == intended_at
        )
        .values(
            status=SubmissionStatus.WAITING, intended_at=null(), wake_at=null(), deadline_at=null()
        )
    )
    return changed.rowcount == 1


async def wake_later(
    connection: AsyncConnection,
    key: SubmissionKey,
    delay: timedelta,
    *,
    is_outage: bool = False,
    has_answered: bool = False,
    failure: Failure | None = None,
) -> bool:
    """Have the poller look at it after `delay`. What was READY is SUBMITTED again.

    What is due by now stays due: a callback has come since it was taken to be looked at.
    `has_answered`: the provider has answered a poll, so that an outage before it is over.
    `failure` is what the job has ended with, where the provider has not ended yet.
    """
    outages: Any = Submission.outages + 1 if is_outage else Submission.outages
    is_due = Submission.wake_at <= func.clock_timestamp()
    ended = {"failure": msgspec.to_builtins(failure)} if failure else {}
    changed = await connection.execute(
        update(Submission)
        .where(*this_submission(key, SubmissionStatus.INTENDED, *POLLED))
        .values(
            status=case(
                (Submission.status == SubmissionStatus.READY, SubmissionStatus.SUBMITTED.value),
                else_=Submission.status,
            ),
            wake_at=case((is_due, Submission.wake_at), else_=func.now() + delay),
            polls=Submission.polls + int(has_answered),
            outages=0 if has_answered else outages,
            **ended,
        )
    )
    return changed.rowcount == 1


async def collect_submission(
    connection: AsyncConnection,
    stored: StoredSubmission,
    *,
    model: str,
    seed: int,
    cost: ProviderCost,
) -> None:
    """Settle it in the transaction that stores its result; its cost is counted once."""
    changed = await connection.execute(
        update(Submission)
        .where(*this_submission(stored.key, *POLLED, SubmissionStatus.COLLECTED))
        .values(
            status=SubmissionStatus.COLLECTED,
            settled_at=func.now(),
            wake_at=null(),
            outages=0,
            model=model,
            seed=seed,
            **cost_columns(cost),
        )
    )
    if changed.rowcount and stored.status != SubmissionStatus.COLLECTED:
        count_settled_submission(stored.provider, SubmissionStatus.COLLECTED, cost.amount_micros)


async def settle_submission(
    connection: AsyncConnection,
    stored: StoredSubmission,
    status: SubmissionStatus,
    *,
    failure: Failure | None = None,
    cost: ProviderCost | None = None,
    possible_double_cost: bool = False,
) -> bool:
    """Settle it without a result. Returns whether it was still open."""
    changes: dict[str, Any] = {"possible_double_cost": True} if possible_double_cost else {}
    if cost is not None and cost != ProviderCost():
        changes |= cost_columns(cost)
    settled = await connection.execute(
        update(Submission)
        .where(*this_submission(stored.key, *OPEN_STATES))
        .values(
            status=status,
            settled_at=func.now(),
            wake_at=null(),
            failure=msgspec.to_builtins(failure) if failure else null(),
            **changes,
        )
        .returning(Submission.amount_micros)
    )
    row = settled.one_or_none()
    if row is None:
        return False
    count_settled_submission(stored.provider, status, row.amount_micros)
    if possible_double_cost:
        increment(POSSIBLE_DOUBLE_COSTS, stored.provider)
    return True


def cost_columns(cost: ProviderCost) -> dict[str, Any]:
    """The columns of a cost."""
    return {
        "units": cost.units,
        "unit": cost.unit,
        "amount_micros": cast(cost.amount_micros, BigInteger),
        "cost_source": cost.source,
    }


def count_settled_submission(
    provider: str, status: SubmissionStatus, amount_micros: int | None
) -> None:
    """Count the end of a submission, and what it has cost."""
    increment(SUBMISSIONS_SETTLED, provider, status.lower())
    increment(PROVIDER_COST, provider, by=amount_micros or 0)
