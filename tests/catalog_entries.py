"""Jobs of generators, and the catalog entries that they make."""

from typing import Any

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.catalog.models import CatalogKind
from backend.catalog.service import KIND_OF_GENERATOR
from backend.jobs.lifecycle import JobLease, lease_job, succeed
from backend.jobs.service import JobRef
from backend.worker.stage_records import add_results, ending
from tests.running_app import SHOP, RunningApp
from tests.scenarios import make_stage, waiting_job

ATTRIBUTES = {"gender": "female", "age": "adult", "seed": 7}


async def claimed_generator_job(
    running_app: RunningApp,
    kind: CatalogKind = CatalogKind.MODELS,
    *,
    shop: str = SHOP,
    request: dict[str, Any] | None = None,
) -> tuple[JobLease, list[str]]:
    """A job of that kind's generator whose stages are made, but for its end; its images' keys."""
    ref = await waiting_job(running_app, shop=shop, request=request or ATTRIBUTES)
    [job_type] = (name for name, made in KIND_OF_GENERATOR.items() if made is kind)
    await running_app.execute(
        "UPDATE jobs SET job_type = :t, origin = 'api' WHERE public_id = :id",
        t=job_type,
        id=ref.public_id,
    )
    claimed = await lease_job(running_app.worker_context.database, ref)
    assert claimed is not None
    keys = await make_stage(running_app, claimed, "encode_generated", role="final", pictures=2)
    return claimed, keys


async def end_generator_job(running_app: RunningApp, claimed: JobLease) -> None:
    """End it as the worker does."""
    async with ending(claimed, running_app.worker_context) as where:
        await succeed(where, claimed, {})
        assert isinstance(where, AsyncConnection)
        await add_results(where, claimed)


async def generated_entry(
    running_app: RunningApp, kind: CatalogKind = CatalogKind.MODELS, *, shop: str = SHOP
) -> tuple[JobRef, str]:
    """A catalog entry of that shop; its job and the key of its object."""
    claimed, keys = await claimed_generator_job(running_app, kind, shop=shop)
    await end_generator_job(running_app, claimed)
    await running_app.execute(
        "UPDATE catalog_entries SET width = 1024, height = 1024 WHERE id = :id",
        id=claimed.ref.public_id,
    )
    return claimed.ref, keys[0]


async def archive_row(running_app: RunningApp, entry_id: str) -> None:
    """Archive an entry, without the API."""
    await running_app.execute(
        "UPDATE catalog_entries SET archived_at = now() WHERE id = :id", id=entry_id
    )


async def entry_rows(running_app: RunningApp, ref: JobRef) -> list[dict[str, Any]]:
    """The row of the job's entry, if there is one."""
    return await running_app.rows(
        "SELECT kind, name, attributes, key, width, height FROM catalog_entries "
        "WHERE shop_id = :shop_id AND id = :public_id",
        **msgspec.structs.asdict(ref),
    )
