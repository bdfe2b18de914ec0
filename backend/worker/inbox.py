"""`atelier webhooks`: list received deliveries, and retry failed ones."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any

import click
from sqlalchemy import ColumnElement, func, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.db import Database
from backend.queue import HANDLE_WEBHOOK
from backend.settings import required_database_url
from backend.tenancy import WORKER
from backend.worker.maintenance import QUEUE_TABLE
from webhooks.models import WebhookDelivery
from webhooks.receive import DeliveryRef, enqueue_delivery

RETRIED_AT_ONCE = 500
KEY = (WebhookDelivery.shop_domain, WebhookDelivery.topic, WebhookDelivery.webhook_id)


async def show_deliveries(
    *, status: str | None, shop: str | None, topic: str | None, limit: int
) -> None:
    """Print the newest matching deliveries, one per line."""
    async with inbox() as database, database.reading() as connection:
        rows = await deliveries(connection, status=status, shop=shop, topic=topic, limit=limit)
    for row in rows:
        click.echo(delivery_line(row))
    if not rows:
        click.echo("No deliveries found.", err=True)
    elif len(rows) == limit:
        click.echo(f"Only the newest {limit} are shown; use --limit for more.", err=True)


async def deliveries(
    connection: AsyncConnection,
    *,
    status: str | None,
    shop: str | None,
    topic: str | None,
    limit: int,
) -> Sequence[Any]:
    """The newest matching deliveries."""
    inbox = WebhookDelivery
    asked = ((inbox.status, status), (inbox.shop_domain, shop), (inbox.topic, topic))
    found = (
        select(*KEY, inbox.status, inbox.note, inbox.received_at, inbox.tries, inbox.next_try_at)
        .where(*(name == value for name, value in asked if value is not None))
        .order_by(inbox.received_at.desc())
        .limit(limit)
    )
    return (await connection.execute(found)).all()


def delivery_line(row: Any) -> str:
    """One delivery, in columns; an unsettled one with the time of its next attempt."""
    more = row.note or ""
    if row.status == "received" and row.next_try_at:
        more += f" after {row.tries} attempts, next at {utc_text(row.next_try_at)}"
    return (
        f"{utc_text(row.received_at)}  {row.status:<9}  {row.topic:<22}  {row.shop_domain}  "
        f"{row.webhook_id}  {more}"
    ).rstrip()


def utc_text(at: datetime | None) -> str:
    """To the second, in UTC."""
    return "-" if at is None else at.strftime("%Y-%m-%dT%H:%M:%SZ")


async def retry_deliveries(webhook_ids: Sequence[str], *, failed: bool) -> bool:
    """Retry the given deliveries, or all failed ones; return whether all of them exist.

    A delivery that waits for its next attempt is retried now as well.
    """
    async with inbox() as database:
        if failed:
            found = await retry_all_failed(database)
            click.echo(f"{found} deliveries are queued again.")
            return True
        async with database.transaction() as connection:
            refs = await retried(connection, WebhookDelivery.webhook_id.in_(webhook_ids))
    for ref in refs:
        click.echo(f"{ref.webhook_id} ({ref.topic} of {ref.shop_domain}) is queued again.")
    missing = set(webhook_ids) - {ref.webhook_id for ref in refs}
    for webhook_id in sorted(missing):
        click.echo(
            f"{webhook_id}: no such delivery, or it was processed and its body deleted.", err=True
        )
    return not missing


async def retry_all_failed(database: Database) -> int:
    """Retry all failed deliveries in slices; return how many there were.

    One that fails again meanwhile is left alone.
    """
    async with database.reading() as connection:
        now = (await connection.execute(select(func.now()))).scalar_one()
    have_failed = WebhookDelivery.status == "failed", WebhookDelivery.settled_at <= now
    total = 0
    while True:
        async with database.transaction() as connection:
            refs = await retried(connection, *have_failed)
        total += len(refs)
        if not refs:
            return total


async def retried(connection: AsyncConnection, *which: ColumnElement[bool]) -> list[DeliveryRef]:
    """Queue a slice of the deliveries, due at once; return them."""
    inbox = WebhookDelivery
    chosen = (
        select(*KEY)
        .where(*which, inbox.status.in_(("failed", "received")), inbox.body.is_not(None))
        .limit(RETRIED_AT_ONCE)
        .with_for_update()
    )
    again = (
        update(inbox)
        .where(tuple_(*KEY).in_(chosen))
        .values(status="received", note=None, settled_at=None, tries=0, next_try_at=None)
        .returning(*KEY)
    )
    refs = [DeliveryRef(**row) for row in (await connection.execute(again)).mappings()]
    for ref in refs:
        await enqueue_delivery(connection, ref)
        await wait_no_longer(connection, ref)
    return refs


async def wait_no_longer(connection: AsyncConnection, ref: DeliveryRef) -> None:
    """Make an entry that is already queued due now."""
    key = f"{HANDLE_WEBHOOK}:{ref.shop_domain}:{ref.topic}:{ref.webhook_id}"
    waiting = QUEUE_TABLE.c.dedupe_key == key, QUEUE_TABLE.c.execute_after > func.now()
    await connection.execute(update(QUEUE_TABLE).where(*waiting).values(execute_after=func.now()))


@contextlib.asynccontextmanager
async def inbox() -> AsyncIterator[Database]:
    """The database with the workers' role."""
    database = Database(required_database_url(), role=WORKER, pool_size=1, statement_timeout=30)
    try:
        await database.require_schema()
        yield database
    finally:
        await database.close()
