"""`atelier endpoints`: the operator's own webhook endpoints, which get the events of every shop.

They are rows and not settings: their secrets rotate and their health is kept without a restart.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, get_args

import click
from sqlalchemy import ColumnElement, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.db import Database
from backend.jobs.ids import new_public_id
from backend.settings import Settings
from backend.shops.token_encryption import TokenKeys
from backend.tenancy import WORKER
from backend.webhook_endpoints.events import WebhookEventType
from backend.webhook_endpoints.models import NOT_FAILING, AppWebhookEndpoint
from backend.webhook_endpoints.secrets import encrypted_secret, new_secret
from backend.webhook_endpoints.service import removed_values, rotated_values
from backend.webhook_endpoints.urls import url_problem
from backend.worker.inbox import utc_text


async def add_app_endpoint(url: str, event_types: tuple[str, ...], description: str) -> None:
    """Store an endpoint and print its ID and its secret, which is not shown again."""
    settings = Settings.from_env()
    if problem := url_problem(url, settings.endpoint_ports):
        raise click.ClickException(f"{url}: {problem}")
    known = get_args(WebhookEventType)
    if unknown := set(event_types) - set(known):
        raise click.ClickException(f"No event type {min(unknown)}. Known: {', '.join(known)}.")
    endpoint_id, secret = new_public_id(), new_secret()
    keys = TokenKeys(settings.token_keys)
    async with as_worker(settings) as connection:
        await connection.execute(
            insert(AppWebhookEndpoint).values(
                id=endpoint_id,
                url=url,
                description=description,
                event_types=list(event_types) or None,
                secret=encrypted_secret(keys, endpoint_id, secret),
            )
        )
    click.echo(f"{endpoint_id}  {secret}")


async def list_app_endpoints() -> None:
    """Print each endpoint: ID, state, URL and event types."""
    async with as_worker(Settings.from_env()) as connection:
        found = select(AppWebhookEndpoint).where(AppWebhookEndpoint.deleted_at.is_(None))
        rows = (await connection.execute(found.order_by(AppWebhookEndpoint.id))).all()
    for row in rows:
        click.echo(endpoint_line(row))


async def remove_app_endpoint(endpoint_id: str) -> None:
    """Send nothing to it any more, and forget its secrets."""
    await change_app_endpoint(endpoint_id, removed_values())
    click.echo(f"Removed {endpoint_id}.")


async def enable_app_endpoint(endpoint_id: str) -> None:
    """Switch it on again after failures, and forget these."""
    enabled = {"disabled_at": None, "disabled_reason": None, **NOT_FAILING}
    await change_app_endpoint(endpoint_id, enabled)
    click.echo(f"Enabled {endpoint_id}.")


async def rotate_app_secret(endpoint_id: str) -> None:
    """Print a new secret; the one before stays valid for a day."""
    secret, keys = new_secret(), TokenKeys(Settings.from_env().token_keys)
    rotated = rotated_values(AppWebhookEndpoint, keys, endpoint_id, secret)
    await change_app_endpoint(endpoint_id, rotated)
    click.echo(secret)


async def change_app_endpoint(endpoint_id: str, values: dict[str, Any]) -> None:
    """Change one endpoint. Raises `ClickException` if there is none of that ID."""
    this: tuple[ColumnElement[bool], ...] = (
        AppWebhookEndpoint.id == endpoint_id,
        AppWebhookEndpoint.deleted_at.is_(None),
    )
    async with as_worker(Settings.from_env()) as connection:
        changed = await connection.execute(update(AppWebhookEndpoint).where(*this).values(values))
    if not changed.rowcount:
        raise click.ClickException(f"No endpoint {endpoint_id}. `atelier endpoints list` has all.")


def endpoint_line(row: Any) -> str:
    """One endpoint, in columns."""
    state = f"off ({row.disabled_reason})" if row.disabled_at else "on"
    failing = f"  failing since {utc_text(row.failing_since)}" if row.failing_since else ""
    types = ",".join(row.event_types) if row.event_types else "all events"
    return f"{row.id}  {state:<12} {row.url}  {types}  {row.description}{failing}".rstrip()


@asynccontextmanager
async def as_worker(settings: Settings) -> AsyncIterator[AsyncConnection]:
    """A transaction of a worker's, in no shop."""
    database = Database(settings.database_url, role=WORKER, pool_size=1, statement_timeout=30)
    try:
        await database.require_schema()
        async with database.transaction() as connection:
            yield connection
    finally:
        await database.close()
