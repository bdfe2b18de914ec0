"""The reads of the catalog, each starting from the shop.

A missing entry, one of another kind and another shop's take the same path through the same index:
one row with a null `public_id`.
"""

from typing import Any

from sqlalchemy import ColumnElement, Select, or_, select, true

from backend.catalog.models import CatalogEntry, CatalogKind
from backend.jobs.models import Artifact, Job
from backend.jobs.queries import artifacts, installed
from backend.shops.models import Shop
from backend.workflows.pictures import THUMBNAIL


def entry_page(
    shop_domain: str, kind: CatalogKind, *, is_archived: bool, before: str | None, limit: int
) -> Select[Any]:
    """The shop's entries of that kind, newest first; one row of nulls if there is none."""
    archived = CatalogEntry.archived_at
    wanted: list[ColumnElement[bool]] = [
        archived.is_not(None) if is_archived else archived.is_(None)
    ]
    if before is not None:
        wanted.append(CatalogEntry.id < before)
    found = of_kind(kind, *wanted).order_by(CatalogEntry.id.desc()).limit(limit).lateral("page")
    page: Select[Any] = select(found).select_from(Shop).outerjoin(found, true())
    return page.where(*installed(shop_domain)).order_by(found.c.public_id.desc())


def one_entry(shop_domain: str, kind: CatalogKind, entry_id: str) -> Select[Any]:
    """One entry."""
    found = of_kind(kind, CatalogEntry.id == entry_id).lateral("entry")
    row: Select[Any] = select(found).select_from(Shop).outerjoin(found, true())
    return row.where(*installed(shop_domain))


def of_kind(kind: CatalogKind, *conditions: ColumnElement[bool]) -> Select[Any]:
    """Entries of the shop that the statement starts from, each with its image and thumbnail."""
    shown = or_(Artifact.key == CatalogEntry.key, Artifact.kind == THUMBNAIL)
    entries: Select[Any] = select(
        CatalogEntry.id.label("public_id"),
        CatalogEntry.kind,
        CatalogEntry.name,
        CatalogEntry.attributes,
        CatalogEntry.key,
        CatalogEntry.width,
        CatalogEntry.height,
        CatalogEntry.archived_at,
        CatalogEntry.created_at,
        artifacts(shown, shop_id=CatalogEntry.shop_id, job_id=CatalogEntry.id),
    )
    return entries.where(
        CatalogEntry.shop_id == Shop.id, CatalogEntry.kind == kind.value, *conditions
    )


def entry_with_image(shop_id: int, kind: CatalogKind, entry_id: str) -> Select[Any]:
    """The entry if its image is still there; its job is locked against deletion until the commit.

    Retention takes the artifacts of a job under a lock of its row, before it deletes the objects.
    """
    found: Select[Any] = (
        select(CatalogEntry.id)
        .join(Job, (Job.shop_id == CatalogEntry.shop_id) & (Job.public_id == CatalogEntry.id))
        .where(
            CatalogEntry.shop_id == shop_id,
            CatalogEntry.kind == kind.value,
            CatalogEntry.id == entry_id,
        )
    )
    return found.with_for_update(read=True, key_share=True, of=Job)


def image_exists(shop_id: int, entry_id: str) -> Select[Any]:
    """Whether the entry's object still has its artifact."""
    artifact = (Artifact.shop_id == CatalogEntry.shop_id) & (Artifact.job_id == CatalogEntry.id)
    return (
        select(Artifact.key)
        .join(CatalogEntry, artifact & (Artifact.key == CatalogEntry.key))
        .where(CatalogEntry.shop_id == shop_id, CatalogEntry.id == entry_id)
        .limit(1)
    )
