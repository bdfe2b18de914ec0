"""`atelier keys reencrypt`, for the secrets of webhook endpoints: see `reencryption`."""

from typing import Any

from sqlalchemy import ColumnElement, Row, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.db import Database
from backend.shops.token_encryption import TokenKeys, TokenUnreadable, UnknownKey
from backend.webhook_endpoints.models import AppWebhookEndpoint, WebhookEndpoint
from backend.webhook_endpoints.secrets import decrypted_secret, encrypted_secret
from backend.worker.endpoint_upkeep import Endpoints
from backend.worker.reencryption import ReencryptionTally

ENDPOINTS_PER_TRANSACTION = 500


async def reencrypt_secrets(database: Database, keys: TokenKeys) -> ReencryptionTally:
    """Encrypt every endpoint's secrets with the first key, some per transaction."""
    tally = ReencryptionTally()
    models: tuple[Endpoints, ...] = (WebhookEndpoint, AppWebhookEndpoint)
    for model in models:
        last = ""
        while True:
            async with database.transaction() as connection:
                rows = await stale_secrets(connection, model, keys, after=last)
                for row in rows:
                    await reencrypt_endpoint(connection, model, keys, row, tally)
            if not rows:
                break
            last = rows[-1].id
        async with database.reading() as connection:
            left = select(func.count()).select_from(model).where(*has_stale_secret(model, keys))
            tally.left += int(await connection.scalar(left) or 0)
    return tally


async def reencrypt_endpoint(
    connection: AsyncConnection,
    model: Endpoints,
    keys: TokenKeys,
    row: Row[Any],
    tally: ReencryptionTally,
) -> None:
    """Encrypt both of the endpoint's secrets anew, if it still holds those that were read."""
    stored = {"secret": row.secret, "previous_secret": row.previous_secret}
    try:
        encrypted = {
            name: value and encrypted_secret(keys, row.id, decrypted_secret(keys, row.id, value))
            for name, value in stored.items()
        }
    except (TokenUnreadable, UnknownKey):
        tally.unreadable += 1
        return
    unchanged = (getattr(model, name).is_not_distinct_from(old) for name, old in stored.items())
    statement = update(model).where(model.id == row.id, *unchanged).values(**encrypted)
    tally.encrypted += (await connection.execute(statement)).rowcount


async def stale_secrets(
    connection: AsyncConnection, model: Endpoints, keys: TokenKeys, *, after: str
) -> Any:
    """The next endpoints with a secret that is encrypted with another key."""
    found = (
        select(model.id, model.secret, model.previous_secret)
        .where(model.id > after, *has_stale_secret(model, keys))
        .order_by(model.id)
        .limit(ENDPOINTS_PER_TRANSACTION)
    )
    return (await connection.execute(found)).all()


def has_stale_secret(model: Endpoints, keys: TokenKeys) -> tuple[ColumnElement[bool], ...]:
    """Whether the endpoint, which is not removed, has a secret under another key."""
    stale = (~func.starts_with(each, keys.prefix) for each in (model.secret, model.previous_secret))
    return model.deleted_at.is_(None), or_(*stale)
