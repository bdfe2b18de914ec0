"""Requests and responses of `/v1/jobs/{public_id}/publication`."""

from typing import Annotated, Literal

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
        pattern=f"^[0-9a-f]{{64}}{END}", description="`meta.sha256` of the final artifact."
    ),
]
Alt = Annotated[str, msgspec.Meta(max_length=512, description="Alt text for screen readers.")]
Position = Annotated[
    int, msgspec.Meta(ge=1, le=250, description="Position among the product's media, from 1.")
]


class ArtifactToPublish(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A final artifact of the job. Without a position it is added after the other media."""

    sha256: Sha256
    alt: Alt | None = None
    position: Position | None = None


class PublicationRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The artifacts to publish, by default on the product that the job was created for."""

    artifacts: Annotated[
        tuple[ArtifactToPublish, ...], msgspec.Meta(min_length=1, max_length=MAX_ARTIFACTS)
    ]
    product_id: ProductGid | None = None


class PublicationError(msgspec.Struct, frozen=True, kw_only=True):
    """Why the publication failed: a stable code and a message."""

    code: Annotated[str, code_of(Noun.PUBLICATION)]
    message: str
    retryable: bool


class PublishedArtifactResponse(msgspec.Struct, frozen=True, kw_only=True):
    """An image of a publication. `media_id` is null until Shopify has assigned one."""

    sha256: str
    alt: str | None
    position: int | None
    status: MediaStatus
    media_id: str | None


class PublicationResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A publication. Each status change is also an event on the job's timeline."""

    job_id: PublicId
    product_id: str
    status: PublicationStatus
    error: PublicationError | None
    artifacts: list[PublishedArtifactResponse]
    created_at: Moment
    published_at: Moment | None
    restored_at: Moment | None


class ProductMediaItem(msgspec.Struct, frozen=True, kw_only=True):
    """A media of a product. `ours`: Atelier created it. `image_url` is null while it processes."""

    id: str
    type: Literal["IMAGE", "VIDEO", "EXTERNAL_VIDEO", "MODEL_3D"]
    alt: str
    image_url: str | None
    ours: bool


class ProductResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A job's product, with its media in their order, as Shopify has them now."""

    id: str
    title: str
    handle: str
    media: list[ProductMediaItem]
