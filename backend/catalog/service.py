"""Catalog entries: added when a generator job succeeds, and used by later jobs."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ARRAY, Text, any_, cast, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.catalog.models import CatalogEntry, CatalogKind
from backend.errors import InvalidRequest

# The kind of entry that a job of each generator makes, by job type.
KIND_OF_GENERATOR: Mapping[str, CatalogKind] = {
    "MODEL_GENERATOR": CatalogKind.MODELS,
    "BACKGROUND_GENERATOR": CatalogKind.BACKGROUNDS,
    "COMPLEMENTARY_GARMENT_GENERATOR": CatalogKind.COMPLEMENTARY_GARMENTS,
}

MIN_SIDE_PIXELS = 512  # of a job's images, as `imaging.decode` has it


async def use_catalog(
    connection: AsyncConnection, *, shop_id: int, wanted: Mapping[str, tuple[CatalogKind, str]]
) -> dict[str, str]:
    """The object key for each field of a request that names an entry: `wanted` has kind and ID.

    Raises `InvalidRequest` naming each field whose entry is unknown, archived, of another kind or
    another shop's (the response does not reveal which of these it is), or has too few pixels.
    """
    if not wanted:
        return {}
    ids = cast(sorted({entry_id for _, entry_id in wanted.values()}), ARRAY(Text))
    found = await connection.execute(
        select(
            CatalogEntry.kind,
            CatalogEntry.id,
            CatalogEntry.key,
            CatalogEntry.width,
            CatalogEntry.height,
        ).where(
            CatalogEntry.shop_id == shop_id,
            CatalogEntry.id == any_(ids),
            CatalogEntry.archived_at.is_(None),
        )
    )
    rows = {(CatalogKind(row.kind), row.id): row for row in found}
    problems = [
        no_such_entry(field, entry[0]) if entry not in rows else too_small(field, rows[entry])
        for field, entry in wanted.items()
        if entry not in rows or is_too_small(rows[entry])
    ]
    if problems:
        raise InvalidRequest(problems)
    return {field: rows[entry].key for field, entry in wanted.items()}


def is_too_small(row: Any) -> bool:
    """Whether a job could not use the entry's image; one of unknown size is tried."""
    return min(row.width or MIN_SIDE_PIXELS, row.height or MIN_SIDE_PIXELS) < MIN_SIDE_PIXELS


def too_small(field: str, row: Any) -> dict[str, Any]:
    """The item of `detail` for a field whose entry has too few pixels."""
    message = (
        f"The entry's image has {row.width} × {row.height} pixels; its shorter side needs at least "
        f"{MIN_SIDE_PIXELS}. Make a larger one."
    )
    return {"loc": ["body", field], "msg": message, "type": "value_error"}


def no_such_entry(field: str, kind: CatalogKind) -> dict[str, Any]:
    """The item of `detail` for a field that names no entry of the shop."""
    message = f"No such entry in the catalog, or it is archived. GET /v1/catalog/{kind} lists them."
    return {"loc": ["body", field], "msg": message, "type": "value_error"}


async def add_catalog_entry(
    connection: AsyncConnection,
    *,
    shop_id: int,
    job_id: str,
    kind: CatalogKind,
    key: str,
    name: str,
    attributes: dict[str, Any],
    width: int | None = None,
    height: int | None = None,
) -> None:
    """Add the image of a generator job, in the transaction that ends the job."""
    await connection.execute(
        insert(CatalogEntry).values(
            shop_id=shop_id,
            id=job_id,
            kind=kind,
            key=key,
            name=name,
            attributes=attributes,
            width=width,
            height=height,
        )
    )
