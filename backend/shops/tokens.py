"""A shop's access and refresh token: encrypted at rest, and refreshed in time, by one process only.

When no token is valid any more, the shop is parked: `reauth_needed_at` is set, Shopify is no longer
called, and work for the shop waits until a merchant opens the app. Shopify responds the same way
to an expired refresh token and to a removed app, so a refusal alone never closes an account; only
`app/uninstalled` does.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import msgspec
import structlog
from sqlalchemy import Row, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.concurrency import acquire_within
from backend.db import Database
from backend.errors import ShopifyUnavailable
from backend.shops.admin_api import AdminApi, TokenRefused
from backend.shops.models import Shop
from backend.shops.scopes import covers
from backend.shops.shopify_responses import OfflineToken
from backend.shops.token_encryption import TokenKeys, TokenUnreadable

log = structlog.get_logger(__name__)
T = TypeVar("T")

REFRESH_BEFORE = timedelta(minutes=5)  # before the token's expiry, as in Shopify's JS library
CALL_TIMEOUT = 8  # seconds; below Postgres's idle_in_transaction_session_timeout
LOCK_TIMEOUT = 10  # seconds to wait for another caller's refresh
LOCK_POLL_INTERVAL = 0.05  # seconds between attempts to get another process's lock
ACCESS_TOKEN, REFRESH_TOKEN = "access_token", "refresh_token"


class NeedsReauth(Exception):
    """The shop has no valid token until a merchant opens the app."""


class InstalledShop(msgspec.Struct, frozen=True, kw_only=True):
    """An installed shop, with an access token for its Admin API."""

    id: int
    domain: str
    scopes: str
    access_token: str

    def __repr__(self) -> str:
        """Without the token: what is printed ends up in logs."""
        return f"InstalledShop(id={self.id}, domain={self.domain!r})"

    def has_granted(self, scopes: str) -> bool:
        """Whether the granted scopes cover `scopes` (write_x implies read_x)."""
        return covers(self.scopes, scopes)


async def installed_shop(database: Database, admin: AdminApi, domain: str) -> InstalledShop | None:
    """The shop with a valid token, or None if it is not installed.

    Raises `NeedsReauth`, and `UnknownKey` if the token's encryption key is missing.
    """
    async with database.reading(domain) as connection:
        row = await installed_row(connection, domain)
    if row is None:
        return None
    try:
        shop = decrypted_shop(row, admin.token_keys)
    except TokenUnreadable as error:
        async with database.transaction(domain) as connection:
            await park(connection, row, error)
        raise NeedsReauth(domain) from error
    return await refresh_tokens(database, admin, domain) if needs_refresh(row) else shop


async def with_fresh_token(
    database: Database,
    admin: AdminApi,
    shop: InstalledShop,
    call: Callable[[InstalledShop], Awaitable[T]],
) -> T:
    """The result of `call`; if Shopify refuses the token, it is refreshed and called once more.

    Raises `NeedsReauth` if that does not help.
    """
    try:
        return await call(shop)
    except TokenRefused:
        log.warning("token_refused", shop=shop.domain)
    fresh = await refresh_tokens(database, admin, shop.domain, refused=shop.access_token)
    if fresh is None:  # the account was closed meanwhile
        raise NeedsReauth(shop.domain)
    try:
        return await call(fresh)
    except TokenRefused as error:
        await park_refused(database, admin, fresh, error)
        raise NeedsReauth(shop.domain) from error


async def refresh_tokens(
    database: Database, admin: AdminApi, domain: str, *, refused: str | None = None
) -> InstalledShop | None:
    """The shop with a new token pair, which is stored before it is used.

    A caller that had to wait for another's refresh finds a fresh token that is not the `refused`
    one. If Shopify's response was lost, the new pair is not stored: the old refresh token, which
    Shopify accepts until the new one is used, gets another pair.
    """
    async with refresh_lock(database, admin, domain) as connection:
        row = await installed_row(connection, domain)
        if row is None:
            return None
        try:
            shop = decrypted_shop(row, admin.token_keys)
            if not needs_refresh(row) and shop.access_token != refused:
                return shop
            token = await fetch_new_tokens(admin, row)
        except (TokenRefused, TokenUnreadable) as error:
            await park(connection, row, error)
        else:
            changes = token_columns(token, admin.token_keys, domain)
            if token.refresh_token is None:  # then the old one stays valid (RFC 6749, section 6)
                del changes[REFRESH_TOKEN]
            if token.scope:
                changes["scopes"] = token.scope
            # A concurrent uninstall may have deleted the tokens; they must stay deleted.
            still_open = Shop.id == row.id, Shop.status == "installed"
            stored = await connection.execute(update(Shop).where(*still_open).values(**changes))
            if stored.rowcount == 0:
                return None
            return msgspec.structs.replace(
                shop, access_token=token.access_token, scopes=token.scope or shop.scopes
            )
    raise NeedsReauth(domain)  # after the shop was parked and that is committed


async def fetch_new_tokens(admin: AdminApi, row: Row[Any]) -> OfflineToken:
    """A new token pair for the row's refresh token. Raises `TokenRefused`."""
    if row.refresh_token is None:
        raise TokenRefused(f"{row.domain}: no refresh token")
    async with call_timeout():
        refresh_token = admin.token_keys.decrypt(
            row.refresh_token, shop=row.domain, column=REFRESH_TOKEN
        )
        return await admin.refresh(row.domain, refresh_token)


@asynccontextmanager
async def refresh_lock(
    database: Database, admin: AdminApi, domain: str
) -> AsyncIterator[AsyncConnection]:
    """A transaction in which no other process or task fetches tokens for the shop.

    It stays open during the call on purpose: two concurrent exchanges or refreshes would invalidate
    each other's tokens. The lock is on the domain, because a new shop has no row to lock, and is
    released if its holder dies. Callers in the same process wait without a connection, and only a
    few shops fetch at once, so that a slow Shopify does not take all connections.
    """
    async with (
        acquire_within(admin.token_lock(domain), LOCK_TIMEOUT, ShopifyUnavailable),
        acquire_within(admin.token_calls, LOCK_TIMEOUT, ShopifyUnavailable),
        database.transaction(domain) as connection,
    ):
        await lock_domain(connection, domain)
        yield connection


async def lock_domain(connection: AsyncConnection, domain: str) -> None:
    """Take the domain's lock for the rest of the transaction. Raises `ShopifyUnavailable`.

    It is polled: a statement that waits for the lock would be ended by `statement_timeout` long
    before the other process's call is over.
    """
    taken = select(func.pg_try_advisory_xact_lock(func.hashtextextended(domain, 0)))
    clock = asyncio.get_running_loop().time
    deadline = clock() + LOCK_TIMEOUT
    while not await connection.scalar(taken):
        if clock() > deadline:
            raise ShopifyUnavailable
        await asyncio.sleep(LOCK_POLL_INTERVAL)


@asynccontextmanager
async def call_timeout() -> AsyncIterator[None]:
    """A time limit for a call to Shopify within a transaction. Raises `ShopifyUnavailable`."""
    try:
        async with asyncio.timeout(CALL_TIMEOUT):
            yield
    except TimeoutError as error:
        raise ShopifyUnavailable from error


async def park(connection: AsyncConnection, row: Row[Any], cause: Exception) -> None:
    """Park the shop, unless its tokens were replaced since `row` was read."""
    parked = await connection.scalar(
        update(Shop)
        .where(
            Shop.id == row.id,
            Shop.status == "installed",
            Shop.access_token.is_not_distinct_from(row.access_token),
            Shop.reauth_needed_at.is_(None),
        )
        .values(reauth_needed_at=func.now())
        .returning(Shop.id)
    )
    if parked is not None:  # an unreadable token is our own fault or an attack
        write = log.error if isinstance(cause, TokenUnreadable) else log.warning
        write("shop_parked", shop=row.domain, cause=str(cause)[:300])


async def park_refused(
    database: Database, admin: AdminApi, shop: InstalledShop, cause: TokenRefused
) -> None:
    """Park a shop that refuses the token that it has just granted."""
    async with database.transaction(shop.domain) as connection:
        row = await installed_row(connection, shop.domain)
        if (
            row is not None
            and decrypted_shop(row, admin.token_keys).access_token == shop.access_token
        ):
            await park(connection, row, cause)


async def is_parked(connection: AsyncConnection, shop_id: int) -> bool:
    """Whether the shop is parked; the row is locked until the transaction ends."""
    found = select(Shop.reauth_needed_at).where(Shop.id == shop_id).with_for_update(read=True)
    return await connection.scalar(found) is not None


async def installed_row(connection: AsyncConnection, domain: str) -> Row[Any] | None:
    """The token columns of the installed shop of that domain."""
    columns = (
        Shop.id,
        Shop.domain,
        Shop.scopes,
        Shop.access_token,
        Shop.access_token_expires_at,
        Shop.refresh_token,
        Shop.reauth_needed_at,
    )
    found: Any = select(*columns).where(Shop.domain == domain, Shop.status == "installed")
    row: Row[Any] | None = (await connection.execute(found)).one_or_none()
    return row


def decrypted_shop(row: Row[Any], keys: TokenKeys) -> InstalledShop:
    """The row with its token decrypted. Raises `NeedsReauth`, `TokenUnreadable`, `UnknownKey`."""
    if row.reauth_needed_at is not None or row.access_token is None:
        raise NeedsReauth(row.domain)
    return InstalledShop(
        id=row.id,
        domain=row.domain,
        scopes=row.scopes,
        access_token=keys.decrypt(row.access_token, shop=row.domain, column=ACCESS_TOKEN),
    )


def needs_refresh(row: Row[Any]) -> bool:
    """Whether the access token expires soon; one without an expiry never does."""
    ends_at: datetime | None = row.access_token_expires_at
    return ends_at is not None and ends_at - datetime.now(UTC) < REFRESH_BEFORE


def token_columns(token: OfflineToken, keys: TokenKeys, domain: str) -> dict[str, Any]:
    """The token pair as encrypted column values."""
    refresh_token = token.refresh_token
    return {
        ACCESS_TOKEN: keys.encrypt(token.access_token, shop=domain, column=ACCESS_TOKEN),
        "access_token_expires_at": token.expires_at,
        REFRESH_TOKEN: refresh_token
        and keys.encrypt(refresh_token, shop=domain, column=REFRESH_TOKEN),
    }
