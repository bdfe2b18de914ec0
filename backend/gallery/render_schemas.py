"""Responses of `/v1/renders`."""

from typing import Annotated

import msgspec

from backend.jobs.asked_by import AskedBy
from backend.jobs.schemas import ArtifactResponse, JobType, Moment, PublicId


class RenderProvenance(msgspec.Struct, frozen=True, kw_only=True):
    """How the images were made; `GET /v1/jobs/{public_id}/lineage` has all of it.

    `generative` says whether a model invented pixels. `provider` is null if the pixels were made on
    the app's own machines. `digital_source_type` is the label in the files.
    """

    generative: bool
    provider: str | None
    model: str | None
    seed: int | None
    digital_source_type: str | None
    rerun_of: PublicId | None
    asked_by: AskedBy | None


class RenderResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The images of a successful job. `public_id` is the job's.

    `origin` is the class of its workflow, null for a workflow that is no longer offered. `category`
    is the kind of garment, where the request or the product's type or tags name it. Jobs of earlier
    releases have no `thumbnail`.
    """

    public_id: PublicId
    job_type: JobType
    workflow: str
    origin: str | None
    category: str | None
    created_at: Moment
    finished_at: Moment
    thumbnail: ArtifactResponse | None
    finals: list[ArtifactResponse]
    provenance: RenderProvenance


class RenderListResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A page, newest first, with `count` entries. `Link` has the next page."""

    renders: list[RenderResponse]
    limit: Annotated[int, msgspec.Meta(ge=1)]
    offset: int
    count: int
