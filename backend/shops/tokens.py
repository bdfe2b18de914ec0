"""A shop's token pair: sealed at rest, renewed in time and once for everybody, never lost.

When no token opens the shop any more it is parked: `reauth_needed_at` is set, Shopify is asked no
further, and work that needs the shop waits until a merchant opens the app. Shopify answers alike
for a refresh token that died of age and for an app that was removed, so a refusal alone never
closes an account; `app/uninstalled` does.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import msgspec
import structlog
from shopify import ApiAccess
from sqlalchemy import Row, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.concurrency import acquire_within
from backend.db import Database
from backend.errors import ShopifyUnavailable
from backend.shops.admin_api import AdminApi, TokenRefused
from backend.shops.models import Shop
from backend.shops.shopify_responses import OfflineToken
from backend.shops.token_encryption import TokenKeys, TokenUnreadable

log = structlog.get_logger(__name__)
T = TypeVar("T")

REFRESH_BEFORE = timedelta(minutes=5)  # of the token's end, as Shopify's JS library does
CALL_TIMEOUT = 8  # seconds; below Postgres's idle_in_transaction_session_timeout
LOCK_TIMEOUT = 10  # seconds to wait for somebody else's call
LOCK_POLL_INTERVAL = 0.05  # seconds between two looks whether another process is done
ACCESS_TOKEN, REFRESH_TOKEN = "access_token", "refresh_token"


class NeedsReauth(Exception):
    """No token opens this shop any more, until a merchant opens the app."""


class InstalledShop(msgspec.Struct, frozen=True, kw_only=True):
    """A shop we may work for, with the key to its Admin API."""

    id: int
    domain: str
    scopes: str
    access_token: str

    def __repr__(self) -> str:
        """Without the token: what is printed ends up in logs."""
        return f"InstalledShop(id={self.id}, domain={self.domain!r})"

    def has_granted(self, scopes: str) -> bool:
        """Whether the granted scopes cover `scopes` (write_x implies read_x)."""
        return bool(ApiAccess(self.scopes).covers(ApiAccess(scopes)))


async def installed_shop(database: Database, admin: AdminApi, domain: str) -> InstalledShop | None:
    """The shop with a live token, or None if it is not installed.

    Raises `NeedsReauth`, and `UnknownKey` when the token's key is not among ours.
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
    question: Callable[[InstalledShop], Awaitable[T]],
) -> T:
    """The answer to a question; a token that Shopify refuses before its time is renewed, once.

    Raises `NeedsReauth` when that does not help.
    """
    try:
        return await question(shop)
    except TokenRefused:
        log.warning("token_refused", shop=shop.domain)
    fresh = await refresh_tokens(database, admin, shop.domain, refused=shop.access_token)
    if fresh is None:  # the account was closed meanwhile
        raise NeedsReauth(shop.domain)
    try:
        return await question(fresh)
    except TokenRefused as error:
        await park_refused(database, admin, fresh, error)
        raise NeedsReauth(shop.domain) from error


async def refresh_tokens(
    database: Database, admin: AdminApi, domain: str, *, refused: str | None = None
) -> InstalledShop | None:
    """The shop with a new token pair, stored before it is used.

    Whoever had to wait for another's refresh finds the token fresh, and other than the one that
    was refused. A pair whose answer was lost is not stored: the old refresh token, which Shopify
    honours until the new one is used, gets another.
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
            if token.scope:
                changes["scopes"] = token.scope
            # An uninstall does not wait for us, and what it has forgotten stays forgotten.
            still_open = Shop.id == row.id, Shop.status == "installed"
            stored = await connection.execute(update(Shop).where(*still_open).values(**changes))
            if stored.rowcount == 0:
                return None
            return msgspec.structs.replace(
                shop, access_token=token.access_token, scopes=token.scope or shop.scopes
            )
    raise NeedsReauth(domain)  # now that the parking is committed


async def fetch_new_tokens(admin: AdminApi, row: Row[Any]) -> OfflineToken:
    """A new pair for the row's refresh token. Raises `TokenRefused`."""
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
    """A transaction in which nobody else fetches tokens for the shop, in any process.

    It is held across the call on purpose: two exchanges or refreshes at once would retire each
    other's tokens. The lock is on the domain, for a new shop has no row to lock, and dies with
    its holder. Who waits in the same process waits without a connection; and a few shops at a time
    are served, so that a slow Shopify does not take all connections.
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

    One statement that waits would be ended long before the other's call is: by the server's
    `statement_timeout`, and by our own, which follows it. So it is asked for again and again.
    """
    taken = select(func.pg_try_advisory_xact_lock(func.hashtextextended(domain, 0)))
    clock = asyncio.get_running_loop().time
    latest = clock() + LOCK_TIMEOUT
    while not await connection.scalar(taken):
        if clock() > latest:
            raise ShopifyUnavailable
        await asyncio.sleep(LOCK_POLL_INTERVAL)


@asynccontextmanager
async def call_timeout() -> AsyncIterator[None]:
    """Time for Shopify to answer within a transaction; late is as good as never."""
    try:
        async with asyncio.timeout(CALL_TIMEOUT):
            yield
    except TimeoutError as error:
        raise ShopifyUnavailable from error


async def park(connection: AsyncConnection, row: Row[Any], cause: Exception) -> None:
    """Mark the shop as locked out, unless it has got other tokens since `row` was read."""
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
    if parked is not None:  # a broken seal is our own trouble, or a break-in
        say = log.error if isinstance(cause, TokenUnreadable) else log.warning
        say("shop_parked", shop=row.domain, cause=str(cause)[:300])


async def park_refused(
    database: Database, admin: AdminApi, shop: InstalledShop, cause: TokenRefused
) -> None:
    """Lock out a shop that refuses a token as soon as it has granted it."""
    async with database.transaction(shop.domain) as connection:
        row = await installed_row(connection, shop.domain)
        if (
            row is not None
            and decrypted_shop(row, admin.token_keys).access_token == shop.access_token
        ):
            await park(connection, row, cause)


async def is_parked(connection: AsyncConnection, shop_id: int) -> bool:
    """Whether the shop is locked out; it stays so or not until the transaction ends."""
    found = select(Shop.reauth_needed_at).where(Shop.id == shop_id).with_for_update(read=True)
    return await connection.scalar(found) is not None


async def installed_row(connection: AsyncConnection, domain: str) -> Row[Any] | None:
    """The columns that matter here of the installed shop of that domain."""
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
    """The row with its access token unsealed. Raises `NeedsReauth`, `SealBroken`, `UnknownKey`."""
    if row.reauth_needed_at is not None or row.access_token is None:
        raise NeedsReauth(row.domain)
    return InstalledShop(
        id=row.id,
        domain=row.domain,
        scopes=row.scopes,
        access_token=keys.decrypt(row.access_token, shop=row.domain, column=ACCESS_TOKEN),
    )


def needs_refresh(row: Row[Any]) -> bool:
    """Whether the token ends soon; one without an end never does."""
    ends_at: datetime | None = row.access_token_expires_at
    return ends_at is not None and ends_at - datetime.now(UTC) < REFRESH_BEFORE


def token_columns(token: OfflineToken, keys: TokenKeys, domain: str) -> dict[str, Any]:
    """The token pair as columns, sealed."""
    refresh_token = token.refresh_token
    return {
        ACCESS_TOKEN: keys.encrypt(token.access_token, shop=domain, column=ACCESS_TOKEN),
        "access_token_expires_at": token.expires_at,
        REFRESH_TOKEN: refresh_token
        and keys.encrypt(refresh_token, shop=domain, column=REFRESH_TOKEN),
    }
