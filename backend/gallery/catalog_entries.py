"""A shop's catalog: list it, read an entry, rename, archive and restore it."""

from typing import Any, Literal

import msgspec
from sqlalchemy import func, null, update
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.catalog.models import CatalogEntry, CatalogKind
from backend.errors import InvalidRequest, ResourceNotFound
from backend.gallery import catalog_queries
from backend.gallery.catalog_schemas import CatalogEntryResponse, CatalogListResponse
from backend.jobs.detail import ARTIFACT_DECODER, EMPTY_LIST, StoredArtifact, artifact_response
from backend.jobs.ids import is_public_id, lookup_id
from backend.jobs.lookup import shop_row
from backend.jobs.paging import query_problem, read_page
from backend.shops.service import installed_id
from backend.storage.presign import Presigner
from backend.workflows.pictures import THUMBNAIL

OF_THE_IMAGES = {"key", "artifacts"}  # columns that become `image` and `thumbnail`


class CatalogListRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The query parameters."""

    archived: Literal["true", "false"]
    limit: int
    cursor: str | None


async def catalog_page(
    connection: AsyncConnection,
    presigner: Presigner,
    kind: CatalogKind,
    *,
    shop_domain: str,
    wanted: CatalogListRequest,
) -> tuple[str | None, CatalogListResponse]:
    """The page, and the query string of the next one if there are more.

    Raises `ShopNotInstalled`, and `InvalidRequest` for an invalid cursor.
    """
    if wanted.cursor is not None and not is_public_id(wanted.cursor):
        raise InvalidRequest([query_problem("cursor", "Use the cursor from the Link header.")])
    statement = catalog_queries.entry_page(
        shop_domain,
        kind,
        is_archived=wanted.archived == "true",
        before=wanted.cursor,
        limit=wanted.limit + 1,
    )
    page = await read_page(connection, statement, wanted)
    entries = [entry_response(row, presigner) for row in page.rows]
    return page.following, CatalogListResponse(
        entries=entries, limit=wanted.limit, count=len(entries)
    )


async def catalog_entry(
    connection: AsyncConnection,
    presigner: Presigner,
    kind: CatalogKind,
    *,
    shop_domain: str,
    public_id: str,
) -> CatalogEntryResponse:
    """One entry. Raises `ShopNotInstalled` or `ResourceNotFound`."""
    statement = catalog_queries.one_entry(shop_domain, kind, lookup_id(public_id))
    row = await shop_row(connection, statement, missing=ResourceNotFound)
    return entry_response(row._mapping, presigner)


async def archive_entry(
    connection: AsyncConnection, kind: CatalogKind, *, shop_domain: str, public_id: str
) -> None:
    """Archive the entry, or leave it archived since when it was. Raises as `catalog_entry` does."""
    at = func.coalesce(CatalogEntry.archived_at, func.now())
    await change_entry(connection, kind, shop_domain, public_id, archived_at=at)


async def restore_entry(
    connection: AsyncConnection, kind: CatalogKind, *, shop_domain: str, public_id: str
) -> None:
    """Have the entry usable again, unless retention is deleting its job just now.

    Raises as `catalog_entry` does.
    """
    shop_id, entry_id = await installed_id(connection, shop_domain), lookup_id(public_id)
    await connection.execute(catalog_queries.entry_with_image(shop_id, kind, entry_id))
    if await connection.scalar(catalog_queries.image_exists(shop_id, entry_id)) is None:
        raise ResourceNotFound
    await change_entry(connection, kind, shop_domain, public_id, archived_at=null())


async def rename_entry(
    connection: AsyncConnection, kind: CatalogKind, *, shop_domain: str, public_id: str, name: str
) -> None:
    """Give the entry another name. Raises as `catalog_entry` does."""
    await change_entry(connection, kind, shop_domain, public_id, name=name.strip())


async def change_entry(
    connection: AsyncConnection, kind: CatalogKind, shop_domain: str, public_id: str, **values: Any
) -> None:
    """Change the entry of that kind."""
    changed = await connection.execute(
        update(CatalogEntry)
        .where(
            CatalogEntry.shop_id == await installed_id(connection, shop_domain),
            CatalogEntry.kind == kind.value,
            CatalogEntry.id == lookup_id(public_id),
        )
        .values(**values)
    )
    if changed.rowcount == 0:
        raise ResourceNotFound


def entry_response(row: RowMapping, presigner: Presigner) -> CatalogEntryResponse:
    """The entry with URLs instead of keys."""
    images = ARTIFACT_DECODER.decode(row["artifacts"] or EMPTY_LIST)
    full = next((image for image in images if image.key == row["key"]), None)
    small = next((image for image in images if image.kind == THUMBNAIL), None)
    return CatalogEntryResponse(
        **{name: value for name, value in row.items() if name not in OF_THE_IMAGES},
        image=shown(full, presigner),
        thumbnail=shown(small, presigner),
    )


def shown(image: StoredArtifact | None, presigner: Presigner) -> Any:
    """The image, if there is one."""
    return None if image is None else artifact_response(image, presigner)
