"""Responses of `/v1/review` and `/v1/jobs/{public_id}/dismissal`."""

from enum import StrEnum
from typing import Literal

import msgspec

from backend.jobs.schemas import ArtifactResponse, JobType, Moment, PublicId
from backend.publications.states import PublicationStatus

DEFAULT_CARDS, MAX_CARDS = 24, 100  # of a page


class ReviewState(StrEnum):
    """`waiting`: neither dismissed nor published. A restored or failed publication waits again."""

    WAITING = "waiting"
    DISMISSED = "dismissed"
    PUBLISHED = "published"


class CardProduct(msgspec.Struct, frozen=True, kw_only=True):
    """The product of a card. `title` is as of the job, null if it was not read."""

    id: str
    title: str | None


class CardPublication(msgspec.Struct, frozen=True, kw_only=True):
    """The newest publication of a card's job."""

    status: PublicationStatus


class ReviewCard(msgspec.Struct, frozen=True, kw_only=True):
    """A successful job, with all that is needed to decide on it.

    `original` and `preview` are at most 512 pixels wide and high. Jobs of earlier releases have no
    `preview`, and an `original` only if it was an upload. `verdict` and `reasons` are those of the
    first image of `result`.
    """

    public_id: PublicId
    job_type: JobType
    created_at: Moment
    product: CardProduct | None
    original: ArtifactResponse | None
    preview: ArtifactResponse | None
    result: list[ArtifactResponse]
    verdict: Literal["pass", "needs_review"] | None
    reasons: list[str]
    publication: CardPublication | None
    dismissed_at: Moment | None


class ReviewResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A page, newest first, with `count` cards. `Link` has the next page."""

    cards: list[ReviewCard]
    limit: int
    count: int


class DismissalResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The job is dismissed. DELETE takes that back."""

    public_id: PublicId
    dismissed_at: Moment
