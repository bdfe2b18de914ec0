"""The shop's account: install, scopes, uninstall, erasure."""

from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import case, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from backend import queue
from backend.db import Database
from backend.errors import ShopifyUnavailable, ShopNotInstalled, StorageQuotaReached
from backend.settings import Quotas
from backend.shops.admin_api import AdminApi, ShopifyRefused, TokenRefused
from backend.shops.models import Shop
from backend.shops.scopes import scope_handles
from backend.shops.shopify_responses import Installation, OfflineToken
from backend.shops.tokens import call_timeout, refresh_lock, token_columns


class KnownShop(msgspec.Struct, frozen=True, kw_only=True):
    """A shop that has, or had, the app installed."""

    id: int
    status: str
    installed_at: datetime
    uninstalled_at: datetime | None
    shopify_gid: str | None

    def is_named_by(self, gid: str | None) -> bool:
        """Whether a body with this global id can be about this shop; None matches any."""
        return gid is None or self.shopify_gid is None or gid == self.shopify_gid


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """An installed shop, and how many bytes it has in the bucket."""

    id: int
    stored_bytes: int

    def require_room(self, quotas: Quotas) -> None:
        """Raise `StorageQuotaReached` unless the shop may store more."""
        if not quotas.has_room_left(self.stored_bytes):
            raise StorageQuotaReached


class ShopRef(msgspec.Struct, frozen=True, kw_only=True):
    """A shop's key, as the queue carries it."""

    shop_id: int


class InstallationResponse(msgspec.Struct, frozen=True, kw_only=True):
    """Response of `POST /v1/installation`."""

    shop: str
    scopes: list[str]


async def install(
    database: Database, admin: AdminApi, *, domain: str, session_token: str
) -> InstallationResponse:
    """Exchange a verified session token for an offline token and open the shop's account.

    Work that waited for a merchant continues. The exchange invalidates the tokens of an existing
    account, so the new pair is stored even if Shopify then fails to describe the shop.
    """
    async with refresh_lock(database, admin, domain) as connection:
        async with call_timeout():
            token = await admin.exchange(domain, session_token)
        pair = token_columns(token, admin.token_keys, domain)
        await connection.execute(
            update(Shop).where(Shop.domain == domain, Shop.status == "installed").values(**pair)
        )
        try:
            async with call_timeout():
                installation = await described(admin, domain, token)
        except ShopifyUnavailable as error:
            failure = error
        else:
            await open_account(connection, domain, installation, pair)
            return InstallationResponse(
                shop=domain, scopes=sorted(scope_handles(installation.scopes))
            )
    raise failure


async def open_account(
    connection: AsyncConnection, domain: str, installation: Installation, pair: dict[str, Any]
) -> None:
    """Store an installed shop, and resume the work that waited for it."""
    was_parked = await connection.scalar(
        select(Shop.reauth_needed_at.is_not(None)).where(Shop.domain == domain)
    )
    values = {
        "status": "installed",
        "shopify_gid": installation.shop_gid,
        "scopes": installation.scopes,
        "reauth_needed_at": None,
        "uninstalled_at": None,
        **pair,
    }
    # Changes while the app was not installed are ignored.
    swept_until = case((Shop.status == "installed", Shop.products_swept_until), else_=func.now())
    opened = (
        upsert(Shop)
        .values(domain=domain, **values)
        .on_conflict_do_update(
            index_elements=["domain"],
            set_={**values, "installed_at": func.now(), "products_swept_until": swept_until},
        )
        .returning(Shop.id)
    )
    shop_id = (await connection.execute(opened)).scalar_one()
    if was_parked:
        await queue.enqueue(connection, resumption(ShopRef(shop_id=shop_id)))


def resumption(ref: ShopRef) -> queue.Entry:
    """The queue entry that resumes the shop's waiting work; at most one is queued."""
    return queue.Entry(
        entrypoint=queue.RESUME_SHOP,
        dedupe_key=f"{queue.RESUME_SHOP}:{ref.shop_id}",
        payload=msgspec.json.encode(ref),
        number=1,
    )


async def described(admin: AdminApi, domain: str, token: OfflineToken) -> Installation:
    """The shop's id and scopes, read with its new token."""
    try:
        return await admin.installation(domain, token.access_token)
    except (TokenRefused, ShopifyRefused) as error:
        raise ShopifyUnavailable from error  # it has just granted the token: a temporary error


async def known_shop(database: Database, domain: str) -> KnownShop | None:
    """The shop of that domain, installed or not."""
    columns = (
        Shop.id,
        Shop.status,
        Shop.installed_at,
        Shop.uninstalled_at,
        Shop.shopify_gid,
    )
    found = select(*columns).where(Shop.domain == domain)
    async with database.reading(domain) as connection:
        row = (await connection.execute(found)).one_or_none()
    return None if row is None else KnownShop(**row._mapping)


async def installed_id(connection: AsyncConnection, shop_domain: str) -> int:
    """The id of the installed shop. Raises `ShopNotInstalled`."""
    found = select(Shop.id).where(Shop.domain == shop_domain, Shop.status == "installed")
    shop_id = await connection.scalar(found)
    if shop_id is None:
        raise ShopNotInstalled
    return shop_id


async def installed_account(connection: AsyncConnection, shop_domain: str) -> Account:
    """The installed shop, and how much it has stored. Raises `ShopNotInstalled`."""
    found = select(Shop.id, Shop.stored_bytes).where(
        Shop.domain == shop_domain, Shop.status == "installed"
    )
    row = (await connection.execute(found)).one_or_none()
    if row is None:
        raise ShopNotInstalled
    return Account(id=row.id, stored_bytes=row.stored_bytes)


async def set_scopes(connection: AsyncConnection, shop_id: int, scopes: str) -> None:
    """Store the granted scopes."""
    await connection.execute(update(Shop).where(Shop.id == shop_id).values(scopes=scopes))


async def uninstall(connection: AsyncConnection, shop: KnownShop) -> datetime | None:
    """Close the account and delete its tokens.

    Returns when, or None if the account is not open or was reopened since `shop` was read.
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
            reauth_needed_at=None,
        )
        .returning(Shop.uninstalled_at)
    )


async def set_aside(connection: AsyncConnection, shop: KnownShop, name: str) -> bool:
    """Rename a closed account for its erasure: it keeps its id and gets `name` as its domain.

    A new installation of the app then gets a new account with another id. Returns False, and does
    nothing, if the account was reopened since `shop` was read. The connection must not have entered
    the shop, because row-level security would hide the renamed row.
    """
    closed = update(Shop).where(
        Shop.id == shop.id,
        Shop.status == "uninstalled",
        Shop.installed_at == shop.installed_at,
    )
    return (await connection.execute(closed.values(domain=name))).rowcount == 1


async def erase(connection: AsyncConnection, shop_id: int) -> None:
    """Delete an uninstalled shop, with its remaining rows in other tables."""
    await connection.execute(delete(Shop).where(Shop.id == shop_id, Shop.status == "uninstalled"))
