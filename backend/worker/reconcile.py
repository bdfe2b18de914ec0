"""`atelier reconcile`: run every sweep at once, or print the findings of the last days."""

from contextlib import AsyncExitStack
from typing import get_args

import click

from backend.db import Database
from backend.settings import Settings, required_database_url
from backend.tenancy import WORKER
from backend.worker import retention
from backend.worker.bucket_sweep import SweepLimits, sweep_bucket
from backend.worker.context import WorkerContext
from backend.worker.endpoint_upkeep import wake_endpoints
from backend.worker.ledger_sums import compare_ledgers
from backend.worker.maintenance import requeued, sweep_uploads
from backend.worker.product_sweep import askable_shops, sweep_products
from backend.worker.reconciliation_report import (
    DAYS,
    FindingTallies,
    FindingTally,
    Kind,
    recent_findings,
)
from backend.worker.retention import expire
from backend.worker.run import open_worker_context


async def reconcile_all(*, force: bool = False) -> bool:
    """Run every sweep and print a line per kind; return whether everything found was repaired."""
    settings = Settings.from_env()
    async with AsyncExitStack() as stack:
        context, _ = await open_worker_context(stack, settings, 1, None)
        await context.database.require_schema()
        tallies = await swept(settings, context, SweepLimits(share=1.0) if force else SweepLimits())
    for kind in get_args(Kind):
        click.echo(finding_line(kind, tallies.get(kind, FindingTally())))
    return all(tally.found == tally.repaired for tally in tallies.values())


async def swept(settings: Settings, context: WorkerContext, terms: SweepLimits) -> FindingTallies:
    """Run the sweeps one after the other and print progress."""
    click.echo("The queue …", err=True)
    tallies = await requeued_all(context.database)
    await wake_endpoints(context.database)
    click.echo("Products …", err=True)
    missed = await missed_products(settings, context)
    click.echo("Unused uploads …", err=True)
    unused = await sweep_uploads(context.database, context.store)
    click.echo("Expired files and jobs …", err=True)
    expired = await expire(context, retention.RetentionPeriods.of(settings))
    click.echo("The ledgers …", err=True)
    differing = await compare_ledgers(settings, context.database)
    click.echo("The bucket …", err=True)
    bucket = await sweep_bucket(settings, context, terms=terms, report=report_progress)
    return {
        **tallies,
        "product_without_webhook": FindingTally(found=missed, repaired=missed),
        "unused_upload": FindingTally(found=unused, repaired=unused),
        **expired,
        "credit_difference": differing,
        **bucket,
    }


async def requeued_all(database: Database) -> dict[Kind, FindingTally]:
    """Requeue batch by batch, until no entry is missing."""
    tallies: dict[Kind, FindingTally] = {}
    while any((found := await requeued(database)).values()):
        for kind, count in found.items():
            tallies.setdefault(kind, FindingTally()).add(found=count, repaired=count)
    return tallies


async def missed_products(settings: Settings, context: WorkerContext) -> int:
    """Sweep the products of each shop; return how many had been missed."""
    closed = settings.disabled | context.without_engine
    shops = await askable_shops(context.database)
    return sum([await sweep_products(ref, context, closed) for ref in shops])


def report_progress(objects: int) -> None:
    """Print the progress of the bucket sweep."""
    click.echo(f"{objects} objects …", err=True)


async def show_report() -> None:
    """Print the findings of each of the last days."""
    database = Database(required_database_url(), role=WORKER, pool_size=1)
    try:
        await database.require_schema()
        async with database.reading() as connection:
            findings = await recent_findings(connection)
    finally:
        await database.close()
    for day, kind, found, repaired in findings:
        click.echo(f"{day}  {finding_line(kind, FindingTally(found=found, repaired=repaired))}")
    if not findings:
        click.echo(f"Nothing was found in the last {DAYS} days.")


def finding_line(kind: str, tally: FindingTally) -> str:
    """A kind and its figures, in columns."""
    return f"{kind:<32} {tally.found:>8} found {tally.repaired:>8} repaired"
