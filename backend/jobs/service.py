"""Create a job: its row, its first event and its queue entry in the caller's transaction."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import msgspec
from sqlalchemy import ARRAY, Text, any_, cast, func, insert, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.expression import CTE

from backend import queue
from backend.errors import InsufficientBalance, TooManyOpenJobs
from backend.jobs import queries
from backend.jobs.asked_by import AskedBy, stored_asked_by
from backend.jobs.events import NewEvent, append_job_events
from backend.jobs.ids import new_public_id
from backend.jobs.models import Job
from backend.jobs.prices import price_of
from backend.metrics import CREDIT_ENTRIES, increment
from backend.settings import UNLIMITED, Quotas
from backend.workflows.generated import seed_of
from backend.workflows.registry import Workflow

TOO_FEW_CREDITS = "AT402"  # SQLSTATE of the trigger `hold_credits`


class JobRef(msgspec.Struct, frozen=True, kw_only=True):
    """A job's key, as in the queue's payload."""

    shop_id: int
    public_id: str


async def request_job(
    connection: AsyncConnection,
    workflow: Workflow,
    *,
    shop_id: int,
    request: dict[str, Any],
    origin: Literal["api", "webhook", "storefront"],
    public_id: str | None = None,
    natural_key: str | None = None,
    customer_id: str | None = None,
    publish: dict[str, Any] | None = None,
    product_title: str | None = None,
    category: str | None = None,
    asked_by: AskedBy | None = None,
    rerun_of: str | None = None,
    quotas: Quotas = UNLIMITED,
) -> JobRef | None:
    """Create the job; return None if the shop already has one with this `natural_key`.

    `publish` is the request for `publications.auto_publish`, `rerun_of` the job that this one
    repeats. `product_title` and `category` are what is known of the product already. Raises
    `TooManyOpenJobs` or `InsufficientBalance`: then the transaction must not commit. Concurrent
    requests count only their own jobs, so a few more than the quota may be accepted; credits are
    never overdrawn.
    """
    ref = JobRef(shop_id=shop_id, public_id=public_id or new_public_id())
    request = with_seed(workflow, request, ref.public_id)
    price = charge(price_of(workflow, quotas), quotas)
    made = (
        upsert(Job)
        .values(
            shop_id=shop_id,
            public_id=ref.public_id,
            job_type=workflow.job_type,
            origin=origin,
            customer_id=customer_id,
            natural_key=natural_key,
            request=request,
            publish=publish,
            product_title=product_title,
            category=category,
            asked_by=stored_asked_by(asked_by),
            rerun_of=rerun_of,
            last_seq=1,
            **price,
        )
        .on_conflict_do_nothing(index_elements=["shop_id", "natural_key"])
        .returning(Job.shop_id, Job.public_id, Job.last_seq)
        .cte("made")
    )
    event = append_queued_event(made, workflow, request)
    with credit_errors():
        if await connection.scalar(select(made.c.public_id).add_cte(event)) is None:
            return None
    count_holds(price)
    if not quotas.has_room_for(await enqueue_jobs(connection, shop_id, [ref])):
        raise TooManyOpenJobs
    return ref


async def request_jobs(
    connection: AsyncConnection,
    workflow: Workflow,
    *,
    shop_id: int,
    requests: Sequence[dict[str, Any]],
    origin: Literal["api", "webhook", "storefront"],
    batch_id: str | None = None,
    asked_by: AskedBy | None = None,
    quotas: Quotas = UNLIMITED,
) -> list[JobRef]:
    """Create a job for each request, in order, in a few statements for any number of them.

    The requests differ in their photo alone.

    Raises `InsufficientBalance`: then the transaction must not commit.
    """
    refs = [JobRef(shop_id=shop_id, public_id=new_public_id()) for _ in requests]
    if not refs:
        return []
    rows = [
        {
            "shop_id": shop_id,
            "public_id": ref.public_id,
            "job_type": workflow.job_type,
            "origin": origin,
            "batch_id": batch_id,
            "asked_by": stored_asked_by(asked_by),
            "request": with_seed(workflow, request, ref.public_id),
            "last_seq": 1,
            **charge(price_of(workflow, quotas), quotas),
        }
        for ref, request in zip(refs, requests, strict=True)
    ]
    with credit_errors():
        await connection.execute(insert(Job), rows)
    count_holds(*rows)
    ids = cast([ref.public_id for ref in refs], ARRAY(Text))
    made = (
        select(Job.shop_id, Job.public_id, Job.last_seq)
        .where(Job.shop_id == shop_id, Job.public_id == any_(ids))
        .cte("made")
    )
    event = append_queued_event(made, workflow, requests[0])
    await connection.execute(select(func.count()).select_from(made).add_cte(event))
    await enqueue_jobs(connection, shop_id, refs)
    return refs


def with_seed(workflow: Workflow, request: dict[str, Any], public_id: str) -> dict[str, Any]:
    """The request with a seed of the job's own if none was chosen, so that it can be repeated."""
    if "seed" not in workflow.parameters.__struct_fields__ or "seed" in request:
        return request
    return {**request, "seed": seed_of(public_id)}


def charge(price: int, quotas: Quotas) -> dict[str, Any]:
    """The job's price, and that it holds so many of the shop's credits: triggers take them."""
    is_held = quotas.prepaid and price > 0
    return {"credits_cost": price, "credit_state": "held" if is_held else "none"}


def count_holds(*prices: Mapping[str, Any]) -> None:
    """Count the ledger's entries for jobs that were made at these prices (`charge`)."""
    increment(CREDIT_ENTRIES, "hold", by=sum(each["credit_state"] == "held" for each in prices))


@contextmanager
def credit_errors() -> Iterator[None]:
    """Raise `InsufficientBalance` when the trigger finds too few credits for the job."""
    try:
        yield
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != TOO_FEW_CREDITS:
            raise
        cause: Any = error.orig and error.orig.__cause__  # asyncpg's own error
        required, available = map(int, cause.detail.split())
        raise InsufficientBalance(required=required, available=available) from error


def append_queued_event(made: CTE, workflow: Workflow, request: Mapping[str, Any]) -> CTE:
    """The first event of the jobs that were made, all of them with the stages of this request."""
    progress = {"done": 0, "total": len(workflow.stages_for(request))}
    return append_job_events(
        made, NewEvent("queued", "Waiting for a worker", {"progress": progress})
    )


async def enqueue_job(connection: AsyncConnection, ref: JobRef) -> None:
    """Put the job on the queue, once, behind the shop's others."""
    await enqueue_jobs(connection, ref.shop_id, [ref])


async def enqueue_jobs(
    connection: AsyncConnection, shop_id: int, refs: Sequence[JobRef], *, have_begun: bool = False
) -> int:
    """Put unfinished jobs of one shop on the queue, each once, behind the shop's others.

    Jobs that `have_begun` come before the shop's backlog: what they wait for does not keep for
    ever. The shop's unfinished jobs are counted once for all of them; returns that number.
    """
    unfinished = int(await connection.scalar(queries.unfinished_count(shop_id)) or 0)
    if have_begun:
        unfinished = min(unfinished, queue.MAX_FOREGROUND + len(refs))
    entries = [
        queue.Entry(
            entrypoint=queue.RUN_JOB,
            dedupe_key=f"{queue.RUN_JOB}:{ref.shop_id}:{ref.public_id}",
            payload=msgspec.json.encode(ref),
            number=number,
        )
        for number, ref in enumerate(refs, start=unfinished - len(refs) + 1)
    ]
    await queue.enqueue(connection, *entries)
    return unfinished


def natural_key(*parts: str) -> str:
    """A digest of what a job is about; parts are length-prefixed, so that none can be shifted."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode()
        digest.update(len(data).to_bytes(4, "big") + data)
    return digest.hexdigest()
