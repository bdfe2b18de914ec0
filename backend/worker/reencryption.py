"""`atelier keys reencrypt`: encrypt every stored token with the first key of `TOKEN_KEYS`.

Safe while the service runs: a row that changes meanwhile is skipped, because its writer has
encrypted it again. Tokens that still need another key are counted at the end.
"""

from collections.abc import Callable
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Row, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.db import Database
from backend.shops.models import Shop
from backend.shops.token_encryption import TokenKeys, TokenUnreadable, UnknownKey
from backend.shops.tokens import ACCESS_TOKEN, REFRESH_TOKEN

SHOPS_PER_TRANSACTION = 100
COLUMNS = {ACCESS_TOKEN: Shop.access_token, REFRESH_TOKEN: Shop.refresh_token}


class ReencryptionTally(msgspec.Struct, kw_only=True):
    """How many shops there were, and the results."""

    total: int = 0
    seen: int = 0
    encrypted: int = 0
    unreadable: int = 0
    left: int = 0


async def reencrypt_all(
    database: Database, keys: TokenKeys, report: Callable[[ReencryptionTally], None]
) -> ReencryptionTally:
    """Re-encrypt every row, one batch per transaction; `report` is called after each."""
    tally = ReencryptionTally(total=await count_stale(database, keys))
    last = 0
    while True:
        async with database.transaction() as connection:
            rows = await stale_rows(connection, keys, after=last)
            for row in rows:
                await reencrypt_row(connection, keys, row, tally)
        if not rows:
            break
        last = rows[-1].id
        tally.seen += len(rows)
        report(tally)
    tally.left = await count_stale(database, keys)
    return tally


async def reencrypt_row(
    connection: AsyncConnection, keys: TokenKeys, row: Row[Any], tally: ReencryptionTally
) -> None:
    """Encrypt both of the row's tokens with the first key, if it still holds the values read."""
    stored = {ACCESS_TOKEN: row.access_token, REFRESH_TOKEN: row.refresh_token}
    try:
        encrypted = {
            name: value and reencrypted(keys, value, shop=row.domain, column=name)
            for name, value in stored.items()
        }
    except (TokenUnreadable, UnknownKey):
        tally.unreadable += 1
        return
    unchanged = (COLUMNS[name].is_not_distinct_from(value) for name, value in stored.items())
    statement = update(Shop).where(Shop.id == row.id, *unchanged).values(**encrypted)
    tally.encrypted += (await connection.execute(statement)).rowcount


def reencrypted(keys: TokenKeys, value: str, *, shop: str, column: str) -> str:
    """The value, encrypted with the first key."""
    return keys.encrypt(keys.decrypt(value, shop=shop, column=column), shop=shop, column=column)


async def stale_rows(connection: AsyncConnection, keys: TokenKeys, *, after: int) -> Any:
    """The next shops with a token that is in plain text or encrypted with another key."""
    found = (
        select(Shop.id, Shop.domain, *COLUMNS.values())
        .where(Shop.id > after, is_stale(keys))
        .order_by(Shop.id)
        .limit(SHOPS_PER_TRANSACTION)
    )
    return (await connection.execute(found)).all()


async def count_stale(database: Database, keys: TokenKeys) -> int:
    """How many shops have such a token."""
    found = select(func.count()).select_from(Shop).where(is_stale(keys))
    async with database.reading() as connection:
        return int(await connection.scalar(found) or 0)


def is_stale(keys: TokenKeys) -> ColumnElement[bool]:
    """Whether there is a token that is not encrypted with the first key."""
    return or_(*(~func.starts_with(column, keys.prefix) for column in COLUMNS.values()))
