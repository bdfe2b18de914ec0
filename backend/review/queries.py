"""The read of the review: one statement, which enters the shop and reads a page of its cards.

`jobs.review` holds a job's state. It matters once the job has succeeded, and only for jobs that are
not a storefront visitor's: `ix_jobs_review` has just these. So a page costs the same however many
jobs the shop has. A trigger on `publications` sets it, and `dismissal` does.
"""

from enum import StrEnum
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Integer,
    Select,
    Text,
    bindparam,
    literal_column,
    or_,
    select,
    true,
)

from backend.db import Query
from backend.jobs.models import Artifact, Job
from backend.jobs.queries import SHOP_DOMAIN, artifacts
from backend.publications.models import Publication
from backend.tenancy import SHOPS, entered_shop
from backend.workflows.pictures import ORIGINAL_THUMBNAIL, THUMBNAIL


class StoredReview(StrEnum):
    """A value of `jobs.review`."""

    WAITING = "WAITING"
    DISMISSED = "DISMISSED"
    PUBLISHED = "PUBLISHED"


STATE: BindParameter[str] = bindparam("state", type_=Text)
BEFORE: BindParameter[str] = bindparam("before", type_=Text)
LIMIT: BindParameter[int] = bindparam("limit", type_=Integer)
# As the index has it: constants, since Postgres cannot prove it of a parameter.
REVIEWABLE: tuple[ColumnElement[bool], ...] = (
    Job.status == literal_column("'SUCCESS'"),
    Job.origin != literal_column("'storefront'"),
)
IS_LIVE: ColumnElement[bool] = Publication.status.not_in(
    [literal_column("'FAILED'"), literal_column("'RESTORED'")]
)


def cards_page() -> Select[Any]:
    """A page of cards, newest first; no row if the shop is not installed, one of nulls if empty."""
    shop = entered_shop(SHOP_DOMAIN, SHOPS.c.status == "installed")
    kinds: list[Any] = [literal_column(f"'{kind}'") for kind in (ORIGINAL_THUMBNAIL, THUMBNAIL)]
    pictures = or_(Artifact.role == "final", Artifact.kind.in_(kinds))
    cards = (
        select(
            Job.public_id,
            Job.job_type,
            Job.created_at,
            Job.dismissed_at,
            Job.attempt,
            Job.last_seq,
            Job.product_title,
            Job.request["product_id"].astext.label("product_id"),
            Job.request["upload_key"].astext.label("upload_key"),
            artifacts(pictures),
            newest_publication().label("publication"),
        )
        .where(Job.shop_id == shop.c.id, *REVIEWABLE, Job.review == STATE, is_up_to_date())
        .where(Job.public_id < BEFORE)
        .order_by(Job.public_id.desc())
        .limit(LIMIT)
        .lateral("card")
    )
    page = select(cards).select_from(shop).outerjoin(cards, true())
    return page.order_by(cards.c.public_id.desc())


def newest_publication() -> Any:
    """The status of the job's newest publication."""
    return (
        select(Publication.status)
        .where(Publication.shop_id == Job.shop_id, Publication.job_id == Job.public_id)
        .order_by(Publication.round.desc())
        .limit(1)
        .correlate(Job)
        .scalar_subquery()
    )


def is_up_to_date() -> ColumnElement[bool]:
    """Whether the row's state holds: one that was published before 0021 may still be WAITING."""
    live = (
        select(Publication.round)
        .where(Publication.shop_id == Job.shop_id, Publication.job_id == Job.public_id, IS_LIVE)
        .correlate(Job)
        .exists()
    )
    return or_(Job.review != literal_column("'WAITING'"), ~live)


REVIEW_PAGE = Query(cards_page)
