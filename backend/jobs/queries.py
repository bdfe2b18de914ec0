"""The reads of jobs. Every one of them starts from the shop.

A missing job and another shop's job use the same index in the same way: one row with a null
`public_id`.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    ARRAY,
    BindParameter,
    ColumnElement,
    Select,
    Text,
    and_,
    any_,
    bindparam,
    cast,
    func,
    literal,
    or_,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by

from backend.db import Query
from backend.jobs.models import Artifact, Job, JobEvent
from backend.jobs.states import UNFINISHED, JobStatus, sources
from backend.shops.models import Shop
from backend.tenancy import OFFSET_ZERO, SHOPS, entered_shop

Conditions = tuple[ColumnElement[bool], ...]

# The bind parameters of the statements for one job. These are compiled once, because compiling one
# costs more than everything after it.
SHOP_DOMAIN: BindParameter[str] = bindparam("shop_domain")
PUBLIC_ID: BindParameter[str] = bindparam("public_id", type_=Text)
SINCE: BindParameter[int] = bindparam("since")

# What `etags.version_of` reads: the version, and how long a stage has taken so far.
VERSION_FIELDS = (
    Job.public_id,
    Job.status,
    Job.attempt,
    Job.last_seq,
    # Not `extract`, whose result is a decimal number of any length.
    (
        func.date_part("epoch", func.now() - Job.started_at) / func.greatest(Job.last_seq - 1, 1)
    ).label("seconds_a_stage"),
)


def version() -> Select[Any]:
    """Only the job's version."""
    return of_shop(select(*VERSION_FIELDS))


def detail(visible: Conditions = ()) -> Select[Any]:
    """The job, its final artifacts once it has succeeded, and its latest event with artifacts."""
    announced = or_(
        and_(Artifact.role == "final", Job.status == JobStatus.SUCCESS),
        Artifact.seq == Job.last_seq,
    )
    columns = select(
        *VERSION_FIELDS,
        Job.job_type,
        Job.created_at,
        Job.request,
        artifacts(announced),
        events(JobEvent.seq == Job.last_seq),
    )
    return of_shop(columns, visible)


def timeline(visible: Conditions = ()) -> Select[Any]:
    """The job's events after `since`, with their artifacts."""
    columns = select(*VERSION_FIELDS, artifacts(Artifact.seq > SINCE), events(JobEvent.seq > SINCE))
    return of_shop(columns, visible)


def jobs_page(
    shop_domain: str,
    *,
    filters: list[ColumnElement[bool]],
    limit: int,
    offset: int,
) -> Select[Any]:
    """The shop's jobs, newest first (IDs start with their time); one row of nulls if none."""
    jobs = (
        select(Job.public_id, Job.job_type, Job.status, Job.created_at, Job.product_title)
        .where(Job.shop_id == Shop.id, *filters)
        .order_by(Job.public_id.desc())
        .limit(limit)
        .offset(offset)
        .lateral("page")
    )
    return (
        select(jobs)
        .select_from(Shop)
        .outerjoin(jobs, true())
        .where(*installed(shop_domain))
        .order_by(jobs.c.public_id.desc())
    )


def filters(
    *,
    job_type: str | None,
    status: JobStatus | None,
    created_after: datetime | None,
    before: str | None,
) -> list[ColumnElement[bool]]:
    """The conditions of the query; `before` is the last ID of the previous page.

    The status is a literal: the partial indexes on statuses cannot be used by a generic plan for a
    bind parameter.
    """
    written = status and literal(status.value, Text, literal_execute=True)
    asked: tuple[tuple[Any, Any], ...] = (
        (Job.job_type.__eq__, job_type),
        (Job.status.__eq__, written),
        (Job.created_at.__gt__, created_after),
        (Job.public_id.__lt__, before),
    )
    return [compare(value) for compare, value in asked if value is not None]


def artifacts(
    condition: ColumnElement[bool],
    *,
    shop_id: Any = Job.shop_id,
    job_id: Any = Job.public_id,
) -> ColumnElement[str]:
    """The artifacts of the job that meet the condition, as JSON of `detail.StoredArtifact`s."""
    fields = func.json_build_object(
        "key", Artifact.key,
        "kind", Artifact.kind,
        "role", Artifact.role,
        "label", Artifact.label,
        "seq", Artifact.seq,
        "meta", Artifact.meta,
    )  # fmt: skip
    found = select(func.json_agg(aggregate_order_by(fields, Artifact.seq, Artifact.ordinal))).where(
        Artifact.shop_id == shop_id, Artifact.job_id == job_id, condition
    )
    return cast(found.correlate_except(Artifact).scalar_subquery(), Text).label("artifacts")


def events(condition: ColumnElement[bool]) -> ColumnElement[str]:
    """The job's events that meet the condition, as JSON of `detail.StoredEvent`s."""
    fields = func.json_build_object(
        "seq", JobEvent.seq,
        "event_type", JobEvent.event_type,
        "stage", JobEvent.stage,
        "message", JobEvent.message,
        "extra", JobEvent.extra,
        "created_at", JobEvent.created_at,
    )  # fmt: skip
    found = select(func.json_agg(aggregate_order_by(fields, JobEvent.seq))).where(
        JobEvent.shop_id == Job.shop_id, JobEvent.job_id == Job.public_id, condition
    )
    return cast(found.correlate(Job).scalar_subquery(), Text).label("events")


def of_shop(columns: Any, visible: Conditions = ()) -> Select[Any]:
    """Columns of one job: no row if the shop is not installed, nulls if it has no such job.

    The statement takes `shop_domain` and `public_id`, and enters the shop itself; `visible` narrows
    which of the shop's jobs are visible.
    """
    shop = entered_shop(SHOP_DOMAIN, SHOPS.c.status == "installed")
    mine = columns.where(Job.shop_id == shop.c.id, Job.public_id == PUBLIC_ID, *visible)
    job = mine.offset(OFFSET_ZERO).lateral("job")
    return select(job).select_from(shop).outerjoin(job, true())


def installed(shop_domain: str) -> tuple[ColumnElement[bool], ...]:
    """The shop, if it has the app."""
    return Shop.domain == shop_domain, is_installed()


def is_installed() -> ColumnElement[bool]:
    """Whether the shop has the app."""
    return Shop.status == "installed"


def may_become(target: JobStatus) -> ColumnElement[bool]:
    """Whether the job may still move to `target`."""
    return Job.status == any_(literal(sorted(sources(target)), ARRAY(Text)))


def unfinished_count(shop_id: int) -> Select[Any]:
    """How many of the shop's jobs are unfinished."""
    return (
        select(func.count())
        .select_from(Job)
        .where(Job.shop_id == shop_id, Job.status.in_(UNFINISHED))
    )


# The storefront's jobs; those of a logged-in customer only for that `customer_id`.
FOR_VISITORS = (
    Job.origin == "storefront",
    or_(Job.customer_id.is_(None), Job.customer_id == bindparam("customer_id")),
)
ONE_VERSION = Query(version)
ONE_DETAIL, ONE_TIMELINE = Query(detail), Query(timeline)
VISITORS_DETAIL = Query(lambda: detail(FOR_VISITORS))
VISITORS_TIMELINE = Query(lambda: timeline(FOR_VISITORS))
