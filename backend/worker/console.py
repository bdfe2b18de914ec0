"""`atelier jobs` and `atelier keys`: commands that use the database directly."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import click
import msgspec
from rich.console import Console

from backend.db import Database
from backend.errors import JobNotFound
from backend.jobs.detail import job_detail
from backend.jobs.long_poll import wait_for_events
from backend.jobs.progress import show_progress
from backend.jobs.read_services import ReadServices
from backend.jobs.schemas import JobDetailResponse, JobEventResponse
from backend.jobs.wakeups import Wakeups
from backend.settings import Settings, required_database_url, required_variable
from backend.shops.token_encryption import TokenKeys
from backend.storage.presign import Presigner
from backend.tenancy import WORKER
from backend.worker.endpoint_secrets import reencrypt_secrets
from backend.worker.maintenance import shop_of_job
from backend.worker.reencryption import ReencryptionTally, reencrypt_all

POLL_TIMEOUT = 20  # seconds of each wait


class Operator(msgspec.Struct, frozen=True, kw_only=True):
    """One job, with the view of its own shop."""

    public_id: str
    shop_domain: str
    reads: ReadServices

    async def detail(self) -> JobDetailResponse:
        """The job as its shop sees it."""
        _, detail = await job_detail(
            self.reads.database,
            self.reads.presigner,
            shop_domain=self.shop_domain,
            public_id=self.public_id,
        )
        return detail

    async def events(self) -> AsyncIterator[JobEventResponse]:
        """The job's events as they commit."""
        since = 0
        while True:
            _, page = await wait_for_events(
                self.reads,
                shop_domain=self.shop_domain,
                public_id=self.public_id,
                since=since,
                wait=POLL_TIMEOUT,
            )
            for event in page.events:
                yield event
            since = page.latest_seq


async def show_job(public_id: str) -> None:
    """Print the job's detail as JSON."""
    async with operator(public_id) as job:
        click.echo(msgspec.json.format(msgspec.json.encode(await job.detail())).decode())


async def watch_job(public_id: str) -> bool:
    """Show the job's progress until it ends; return whether it succeeded."""
    async with operator(public_id) as job:
        end = await show_progress(job.events(), Console(stderr=True))
    return end.event_type == "succeeded"


async def reencrypt_tokens() -> bool:
    """Encrypt every token with the first key; return whether no other key is needed."""
    keys = TokenKeys(required_variable("TOKEN_KEYS"))
    database = Database(required_database_url(), role=WORKER, pool_size=1)

    def show(tally: ReencryptionTally) -> None:
        click.echo(f"{tally.seen} of {tally.total} shops …", err=True)

    try:
        tally = await reencrypt_all(database, keys, show)
        secrets = await reencrypt_secrets(database, keys)
    finally:
        await database.close()
    click.echo(f"Sealed the tokens of {tally.encrypted} shops under {keys.primary}.")
    click.echo(f"Sealed the secrets of {secrets.encrypted} webhook endpoints.")
    tally.unreadable += secrets.unreadable
    tally.left += secrets.left
    if tally.unreadable:
        click.echo(
            f"{tally.unreadable} cannot be decrypted: a key is missing, or they were altered."
        )
    if tally.left > tally.unreadable:
        click.echo("Some tokens were encrypted with another key meanwhile. Run this again.")
    return tally.left == 0


@asynccontextmanager
async def operator(public_id: str) -> AsyncIterator[Operator]:
    """Find the job, whichever shop owns it. Raises `JobNotFound`."""
    settings = Settings.from_env()
    database = Database(settings.database_url, role=WORKER, pool_size=1)
    wakeups = Wakeups(settings.database_url, role=WORKER)
    try:
        async with database.reading() as connection:
            shop = await shop_of_job(connection, public_id)
        if shop is None:
            raise JobNotFound(f"Job {public_id} does not exist, or its shop has removed the app.")
        async with wakeups.listening():
            yield Operator(
                public_id=public_id,
                shop_domain=shop,
                reads=ReadServices(
                    database=database, presigner=Presigner(settings), wakeups=wakeups
                ),
            )
    finally:
        await database.close()
