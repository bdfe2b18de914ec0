"""The wire: what is asked of a publication, and what is told of it."""

from typing import Annotated

import msgspec

from backend.failures.registry import Noun
from backend.failures.schema import code_of
from backend.jobs.schemas import Moment, PublicId
from backend.publications.states import MediaStatus, PublicationStatus
from backend.workflows.pictures import END, ProductGid

MAX_ARTIFACTS = 20
Sha256 = Annotated[
    str,
    msgspec.Meta(
        pattern=f"^[0-9a-f]{{64}}{END}", description="The final artifact's, from its `meta`."
    ),
]
Alt = Annotated[str, msgspec.Meta(max_length=512, description="For those who cannot see it.")]
Position = Annotated[
    int, msgspec.Meta(ge=1, le=250, description="Its place among the product's media, from 1.")
]


class ArtifactToPublish(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One final artifact of the job; without a position it comes behind the product's media."""

    sha256: Sha256
    alt: Alt | None = None
    position: Position | None = None


class PublicationRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to publish, and where: by default on the product that the job was asked for."""

    artifacts: Annotated[
        tuple[ArtifactToPublish, ...], msgspec.Meta(min_length=1, max_length=MAX_ARTIFACTS)
    ]
    product_id: ProductGid | None = None


class PublicationError(msgspec.Struct, frozen=True, kw_only=True):
    """Why a publication failed: a stable code and a sentence."""

    code: Annotated[str, code_of(Noun.PUBLICATION)]
    message: str
    retryable: bool


class PublishedArtifactResponse(msgspec.Struct, frozen=True, kw_only=True):
    """One picture of a publication; `media_id` is Shopify's, once it has one."""

    sha256: str
    alt: str | None
    position: int | None
    status: MediaStatus
    media_id: str | None


class PublicationResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A publication; each of its changes is an event on the job's timeline too."""

    job_id: PublicId
    product_id: str
    status: PublicationStatus
    error: PublicationError | None
    artifacts: list[PublishedArtifactResponse]
    created_at: Moment
    published_at: Moment | None
    restored_at: Moment | None
