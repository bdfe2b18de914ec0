"""Requests and responses of `/v1/catalog`."""

from typing import Any

import msgspec

from backend.catalog.models import CatalogKind
from backend.jobs.schemas import ArtifactResponse, Moment, PublicId
from backend.workflows.generators import EntryTitle


class CatalogEntryResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A generated image that later jobs name by `public_id`, the ID of the job that made it.

    `attributes` is what was asked for. `image` is in full size, `thumbnail` at most 512 pixels wide
    and high; both are null while the job is being deleted. An archived entry cannot be used.
    """

    public_id: PublicId
    kind: CatalogKind
    name: str
    attributes: dict[str, Any]
    image: ArtifactResponse | None
    thumbnail: ArtifactResponse | None
    width: int | None
    height: int | None
    archived_at: Moment | None
    created_at: Moment


class CatalogListResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A page, newest first, with `count` entries. `Link` has the next page."""

    entries: list[CatalogEntryResponse]
    limit: int
    count: int


class CatalogEntryChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The entry's new name."""

    name: EntryTitle
