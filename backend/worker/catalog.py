"""Fill the catalog: the first final image of a generator job that succeeds becomes an entry."""

from typing import Any

import structlog
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.catalog.models import CatalogKind
from backend.catalog.service import add_catalog_entry
from backend.jobs.lifecycle import JobLease
from backend.jobs.models import Artifact

log = structlog.get_logger(__name__)

MAX_NAME_CHARACTERS = 100
MAX_ATTRIBUTE_CHARACTERS = 200
# Fields of a request that say which image to use, not what to generate.
OF_AN_INPUT = ("_key", "_id", "_url")


async def fill_catalog(connection: AsyncConnection, claimed: JobLease, kind: CatalogKind) -> None:
    """Add the entry of a generator job, in the transaction that ends the job."""
    ref = claimed.ref
    first_final_image = (
        select(Artifact.key, Artifact.meta)
        .where(
            Artifact.shop_id == ref.shop_id,
            Artifact.job_id == ref.public_id,
            Artifact.role == "final",
        )
        .order_by(Artifact.seq, Artifact.ordinal)
        .limit(1)
    )
    image = (await connection.execute(first_final_image)).one_or_none()
    if image is None:
        log.error("generator_made_no_image", job_id=ref.public_id)
        return
    attributes = attributes_of(claimed.request)
    await add_catalog_entry(
        connection,
        shop_id=ref.shop_id,
        job_id=ref.public_id,
        kind=kind,
        key=image.key,
        name=claimed.request.get("name", "").strip() or default_name(kind, attributes),
        attributes=attributes,
        width=image.meta.get("width"),
        height=image.meta.get("height"),
    )


def attributes_of(request: dict[str, Any]) -> dict[str, Any]:
    """What was asked for: the single values of the request but the name, long texts cut."""
    return {
        name: value[:MAX_ATTRIBUTE_CHARACTERS] if isinstance(value, str) else value
        for name, value in request.items()
        if isinstance(value, str | int | float)
        and name != "name"
        and not name.endswith(OF_AN_INPUT)
    }


def default_name(kind: CatalogKind, attributes: dict[str, Any]) -> str:
    """The first texts that were asked for, such as "Woman, studio"; the merchant may change it."""
    texts = [value.strip() for value in attributes.values() if isinstance(value, str)]
    name = ", ".join(text for text in texts[:3] if text) or kind.value.replace("-", " ")
    return (name[:1].upper() + name[1:])[:MAX_NAME_CHARACTERS]
