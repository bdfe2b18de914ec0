"""The reads on jobs. Every one of them starts from the shop."""

from typing import Any

from sqlalchemy import Select, Text, and_, cast, func, or_, select, true
from sqlalchemy.dialects.postgresql import aggregate_order_by

from backend.jobs.models import Artifact, Job, JobEvent
from backend.jobs.states import UNFINISHED, JobStatus
from backend.shops.models import Shop


def detail(shop_domain: str, public_id: str) -> Select[Any]:
    """One row if the shop is installed, with a null `public_id` if it has no such job.

    A missing job and another shop's take the same path through the same index. Artifacts come as
    a JSON text: the final ones of a finished job, and those of the latest event.
    """
    artifacts = (
        select(
            func.json_agg(
                aggregate_order_by(
                    func.json_build_object(
                        "key", Artifact.key,
                        "kind", Artifact.kind,
                        "role", Artifact.role,
                        "label", Artifact.label,
                        "seq", Artifact.seq,
                        "meta", Artifact.meta,
                    ),
                    Artifact.seq,
                    Artifact.ordinal,
                )
            )
        )
        .where(
            Artifact.shop_id == Job.shop_id,
            Artifact.job_id == Job.public_id,
            or_(
                and_(Artifact.role == "final", Job.status == JobStatus.SUCCESS),
                Artifact.seq == Job.last_seq,
            ),
        )
        .scalar_subquery()
    )  # fmt: skip
    event = (
        select(JobEvent)
        .where(
            JobEvent.shop_id == Job.shop_id,
            JobEvent.job_id == Job.public_id,
            JobEvent.seq == Job.last_seq,
        )
        .lateral("event")
    )
    return (
        select(
            Job.public_id,
            Job.job_type,
            Job.status,
            Job.created_at,
            Job.request,
            cast(artifacts, Text).label("artifacts"),
            event.c.seq,
            event.c.event_type,
            event.c.stage,
            event.c.message,
            event.c.extra,
            event.c.created_at.label("event_created_at"),
        )
        .select_from(Shop)
        .outerjoin(Job, and_(Job.shop_id == Shop.id, Job.public_id == public_id))
        .outerjoin(event, true())
        .where(Shop.domain == shop_domain, Shop.status == "installed")
    )


def unfinished_count(shop_id: int) -> Select[Any]:
    """How many of the shop's jobs are waiting or running."""
    return (
        select(func.count())
        .select_from(Job)
        .where(Job.shop_id == shop_id, Job.status.in_(UNFINISHED))
    )
