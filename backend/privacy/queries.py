"""The queries on customers' data requests, each starting from the shop.

A missing request and another shop's request take the same path through the same index: one row with
a null `public_id`.
"""

from typing import Any

from sqlalchemy import Select, Text, and_, cast, func, select, true
from sqlalchemy.dialects.postgresql import aggregate_order_by

from backend.jobs.models import Artifact, Job
from backend.jobs.queries import installed
from backend.privacy.models import PrivacyRequest
from backend.shops.models import Shop


def privacy_request_page(shop_domain: str, *, before: str | None, limit: int) -> Select[Any]:
    """The shop's requests, newest first; without any, one row of nulls."""
    requests = select(PrivacyRequest).where(PrivacyRequest.shop_id == Shop.id)
    if before is not None:
        requests = requests.where(PrivacyRequest.public_id < before)
    newest = requests.order_by(PrivacyRequest.public_id.desc()).limit(limit).lateral("page")
    statement: Select[Any] = select(newest).select_from(Shop).outerjoin(newest, true())
    return statement.where(*installed(shop_domain)).order_by(newest.c.public_id.desc())


def held(shop_domain: str, public_id: str, *, before: str | None, limit: int) -> Select[Any]:
    """The request and its customer's jobs, newest first; nulls if there are none."""
    jobs = select(
        Job.public_id, Job.job_type, Job.status, Job.created_at, Job.finished_at, Job.request,
        pictures_json(),
    ).where(
        Job.shop_id == PrivacyRequest.shop_id, Job.customer_id == PrivacyRequest.customer_id
    )  # fmt: skip
    if before is not None:
        jobs = jobs.where(Job.public_id < before)
    job = jobs.order_by(Job.public_id.desc()).limit(limit).lateral("job")
    this = and_(PrivacyRequest.shop_id == Shop.id, PrivacyRequest.public_id == public_id)
    statement: Select[Any] = select(
        PrivacyRequest.public_id,
        PrivacyRequest.customer_id,
        PrivacyRequest.requested_at,
        *(column.label(f"job_{column.name}") for column in job.c),
    ).select_from(Shop)
    return (
        statement.outerjoin(PrivacyRequest, this)
        .outerjoin(job, true())
        .where(*installed(shop_domain))
        .order_by(job.c.public_id.desc())
    )


def pictures_json() -> Any:
    """The job's images as JSON of `schemas.HeldPicture`s, without keys or URLs."""
    fields = func.json_build_object(
        "kind", Artifact.kind,
        "role", Artifact.role,
        "label", Artifact.label,
        "created_at", Artifact.created_at,
    )  # fmt: skip
    found = select(func.json_agg(aggregate_order_by(fields, Artifact.seq, Artifact.ordinal))).where(
        Artifact.shop_id == Job.shop_id, Artifact.job_id == Job.public_id
    )
    return cast(found.correlate(Job).scalar_subquery(), Text).label("pictures")
