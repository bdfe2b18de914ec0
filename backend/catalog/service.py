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


async def use_catalog(
    connection: AsyncConnection, *, shop_id: int, wanted: Mapping[str, tuple[CatalogKind, str]]
) -> dict[str, str]:
    """The object key for each field of a request that names an entry: `wanted` has kind and ID.

    Raises `InvalidRequest` naming each field whose entry is unknown, archived, of another kind or
    another shop's; the response does not reveal which of these it is.
    """
    if not wanted:
        return {}
    ids = cast(sorted({entry_id for _, entry_id in wanted.values()}), ARRAY(Text))
    found = await connection.execute(
        select(CatalogEntry.kind, CatalogEntry.id, CatalogEntry.key).where(
            CatalogEntry.shop_id == shop_id,
            CatalogEntry.id == any_(ids),
            CatalogEntry.archived_at.is_(None),
        )
    )
    keys = {(CatalogKind(row.kind), row.id): row.key for row in found}
    if missing := [field for field, entry in wanted.items() if entry not in keys]:
        raise InvalidRequest([no_such_entry(field, wanted[field][0]) for field in missing])
    return {field: keys[entry] for field, entry in wanted.items()}


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
