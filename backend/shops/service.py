"""A shop's life with us: install, token, scopes, uninstall, erasure."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from shopify import ApiAccess
from sqlalchemy import Row, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.db import Database
from backend.errors import ShopifyUnavailable
from backend.shops.admin_api import AdminApi, ShopifyRefused, TokenRefused
from backend.shops.answers import Installation, OfflineToken
from backend.shops.models import Shop

REFRESH_BEFORE = timedelta(minutes=5)  # of the token's end, as Shopify's JS library does


class InstalledShop(msgspec.Struct, frozen=True, kw_only=True):
    """A shop we may work for, with the key to its Admin API."""

    id: int
    domain: str
    scopes: str
    access_token: str

    def has_granted(self, scopes: str) -> bool:
        """Whether the granted scopes cover `scopes` (write_x implies read_x)."""
        return bool(ApiAccess(self.scopes).covers(ApiAccess(scopes)))


class KnownShop(msgspec.Struct, frozen=True, kw_only=True):
    """A shop that is, or was, with us."""

    id: int
    status: str
    installed_at: datetime
    shopify_gid: str | None

    def is_named_by(self, gid: str | None) -> bool:
        """Whether a body that names `gid` can be about this shop; None names nobody."""
        return gid is None or self.shopify_gid is None or gid == self.shopify_gid


class InstallationResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to `POST /v1/installation`."""

    shop: str
    scopes: list[str]


async def install(
    database: Database, admin: AdminApi, *, domain: str, session_token: str
) -> InstallationResponse:
    """Exchange a verified session token for an offline one and open the shop's account."""
    async with database.transaction() as connection:
        await lock_tokens(connection, domain)
        token = await admin.exchange(domain, session_token)
        installation = await described(admin, domain, token)
        values = {
            "status": "installed",
            "shopify_gid": installation.shop_gid,
            "scopes": installation.scopes,
            "uninstalled_at": None,
            **token_columns(token),
        }
        await connection.execute(
            upsert(Shop)
            .values(domain=domain, **values)
            .on_conflict_do_update(
                index_elements=["domain"], set_={**values, "installed_at": func.now()}
            )
        )
    return InstallationResponse(shop=domain, scopes=sorted(ApiAccess(installation.scopes)))


async def described(admin: AdminApi, domain: str, token: OfflineToken) -> Installation:
    """What the shop says of itself with its fresh token."""
    try:
        return await admin.installation(domain, token.access_token)
    except (TokenRefused, ShopifyRefused) as error:
        raise ShopifyUnavailable from error  # it has just granted the token: a passing disorder


async def lock_tokens(connection: AsyncConnection, domain: str) -> None:
    """Let one transaction at a time fetch tokens for a shop, across all processes.

    The lock is held across the call on purpose: two exchanges or refreshes at once would retire
    each other's tokens. A lock on the row would not do, for a new shop has none.
    """
    key = func.hashtextextended(domain, 0)
    await connection.execute(select(func.pg_advisory_xact_lock(key)))


async def installed_shop(database: Database, admin: AdminApi, domain: str) -> InstalledShop | None:
    """The shop with a live token, or None if it is not installed.

    Raises `TokenRefused` when the token is due and Shopify will not renew it.
    """
    async with database.reading() as connection:
        row = (await connection.execute(by_domain(domain))).one_or_none()
    if row is None:
        return None
    if is_due(row.access_token_expires_at):
        row = await refreshed(database, admin, domain)
        if row is None:
            return None
    return InstalledShop(
        id=row.id, domain=row.domain, scopes=row.scopes, access_token=row.access_token
    )


async def refreshed(database: Database, admin: AdminApi, domain: str) -> Row[Any] | None:
    """The row with a renewed token pair, stored before it is used.

    Whoever had to wait for another's refresh finds the token fresh.
    """
    async with database.transaction() as connection:
        await lock_tokens(connection, domain)
        row = (await connection.execute(by_domain(domain))).one_or_none()
        if row is None or not is_due(row.access_token_expires_at):
            return row
        if row.refresh_token is None:
            raise TokenRefused(f"{domain}: no refresh token")
        token = await admin.refresh(domain, row.refresh_token)
        await connection.execute(
            update(Shop).where(Shop.id == row.id).values(**token_columns(token))
        )
        return (await connection.execute(by_domain(domain))).one()


async def known_shop(database: Database, domain: str) -> KnownShop | None:
    """The shop of that domain, installed or not."""
    columns = (Shop.id, Shop.status, Shop.installed_at, Shop.shopify_gid)
    found = select(*columns).where(Shop.domain == domain)
    async with database.reading() as connection:
        row = (await connection.execute(found)).one_or_none()
    return None if row is None else KnownShop(**row._mapping)


async def set_scopes(connection: AsyncConnection, shop_id: int, scopes: str) -> None:
    """Remember what the shop has granted."""
    await connection.execute(update(Shop).where(Shop.id == shop_id).values(scopes=scopes))


async def uninstall(connection: AsyncConnection, shop: KnownShop) -> int | None:
    """Close the account and forget its tokens.

    The shop's id, or None if the account is not open, or was opened anew since `shop` was read.
    """
    return await connection.scalar(
        update(Shop)
        .where(
            Shop.id == shop.id,
            Shop.status == "installed",
            Shop.installed_at == shop.installed_at,
        )
        .values(
            status="uninstalled",
            uninstalled_at=func.now(),
            access_token=None,
            access_token_expires_at=None,
            refresh_token=None,
        )
        .returning(Shop.id)
    )


async def erase(connection: AsyncConnection, shop_id: int) -> None:
    """Delete a shop that has left; its jobs, events, artifacts and checkpoints go with it."""
    await connection.execute(delete(Shop).where(Shop.id == shop_id, Shop.status == "uninstalled"))


def by_domain(domain: str) -> Any:
    """The installed shop of that domain."""
    columns = (
        Shop.id,
        Shop.domain,
        Shop.scopes,
        Shop.access_token,
        Shop.access_token_expires_at,
        Shop.refresh_token,
    )
    return select(*columns).where(Shop.domain == domain, Shop.status == "installed")


def is_due(expires_at: datetime | None) -> bool:
    """Whether the token ends soon; one without an end never does."""
    return expires_at is not None and expires_at - datetime.now(UTC) < REFRESH_BEFORE


def token_columns(token: OfflineToken) -> dict[str, Any]:
    """The token pair as columns."""
    return {
        "access_token": token.access_token,
        "access_token_expires_at": token.expires_at,
        "refresh_token": token.refresh_token,
    }
