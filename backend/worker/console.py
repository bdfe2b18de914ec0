"""`atelier jobs`: what an operator sees of a job, straight from the database."""

import asyncio
from collections.abc import AsyncIterator

import click
import msgspec
from rich.console import Console

from backend.db import Database
from backend.errors import JobNotFound
from backend.jobs.detail import job_detail
from backend.jobs.progress import watched
from backend.jobs.schemas import JobDetailResponse
from backend.jobs.states import JobStatus
from backend.settings import Settings
from backend.storage.presign import Presigner
from backend.worker.maintenance import owner_of

INTERVAL = 0.3  # seconds between two looks


async def show_job(public_id: str) -> None:
    """Print the job's detail as JSON, as its shop sees it."""
    async for detail in details(public_id):
        click.echo(msgspec.json.format(msgspec.json.encode(detail)).decode())
        return


async def watch_job(public_id: str) -> bool:
    """Show the job's progress until it ends; whether it succeeded."""
    console = Console(stderr=True)
    detail = await watched(details(public_id), console)
    console.print(f"{detail.status}: {detail.latest_event and detail.latest_event.message}")
    return detail.status == JobStatus.SUCCESS


async def details(public_id: str) -> AsyncIterator[JobDetailResponse]:
    """The job's detail, again and again. Raises `JobNotFound`."""
    settings = Settings.from_env()
    presigner = Presigner(settings)
    database = Database(settings.database_url, pool_size=1)
    try:
        async with database.reading() as connection:
            shop = await owner_of(connection, public_id)
        if shop is None:
            raise JobNotFound(f"No job {public_id}.")
        while True:
            async with database.reading() as connection:
                _, detail = await job_detail(
                    connection, presigner, shop_domain=shop, public_id=public_id
                )
            yield detail
            await asyncio.sleep(INTERVAL)
    finally:
        await database.close()
