"""`atelier credits`: explain a shop's balance, grant credits by hand, and take a lot back."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import click
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.account.balance import spending_order
from backend.auth.shop_domain import normalized_shop_domain
from backend.credits.accounts import balance_of, is_spendable
from backend.credits.grants import grant_credits
from backend.credits.lots import void_lot
from backend.credits.models import CreditEntry, CreditGrant
from backend.db import Database
from backend.errors import ShopNotInstalled
from backend.settings import required_database_url
from backend.shops.models import Shop
from backend.tenancy import WORKER
from backend.worker.inbox import utc_text

NEWEST = 20  # entries


async def show_credits(shop_domain: str) -> None:
    """Print the shop's balance, its lots and its newest entries."""
    async with of_one_shop(shop_domain) as (connection, shop_id):
        balance = await balance_of(connection, shop_id)
        lots = await lots_of(connection, shop_id)
        entries = await newest_entries(connection, shop_id)
    click.echo(f"available {balance.available}, held {balance.held}")
    for lot in lots:
        click.echo(lot_line(lot))
    for entry in entries:
        click.echo(entry_line(entry))


async def grant_by_hand(
    shop_domain: str, amount: int, *, ref: str, expires_at: datetime | None, reason: str | None
) -> bool:
    """Grant the credits and print what has happened; whether the shop has them now.

    With a `ref` that was used before nothing is granted.
    """
    async with of_one_shop(shop_domain) as (connection, shop_id):
        is_new = await grant_credits(
            connection, shop_id, source="manual", ref=ref, amount=amount, expires_at=expires_at
        )
        if is_new:
            await connection.execute(
                update(CreditGrant).where(*manual_lot(shop_id, ref)).values(reason=reason)
            )
        earlier = await connection.scalar(
            select(CreditGrant.amount).where(*manual_lot(shop_id, ref))
        )
        balance = await balance_of(connection, shop_id)
    if is_new:
        click.echo(f"Granted {amount} credits (ref {ref}). Available: {balance.available}.")
        return True
    click.echo(f"Ref {ref} has granted {earlier} credits before; nothing was granted.", err=True)
    return earlier == amount


async def void_by_hand(shop_domain: str, lot_id: int) -> None:
    """Close the lot and print what has happened. Closing it again changes nothing.

    Raises `ClickException` if the shop has no such lot.
    """
    of_the_lot = (CreditGrant.source, CreditGrant.ref, CreditGrant.closed_at)
    async with of_one_shop(shop_domain) as (connection, shop_id):
        found = select(*of_the_lot).where(CreditGrant.shop_id == shop_id, CreditGrant.id == lot_id)
        lot = (await connection.execute(found)).one_or_none()
        if lot is None:
            raise click.ClickException(
                f"{shop_domain} has no lot {lot_id}. `atelier credits show` lists its lots."
            )
        voided = await void_lot(connection, shop_id, source=lot.source, ref=lot.ref)
        balance = await balance_of(connection, shop_id)
    if lot.closed_at is not None and not voided:
        click.echo(f"Lot {lot_id} is closed already; nothing was voided.", err=True)
        return
    click.echo(
        f"Voided {voided} credits of lot {lot_id} ({lot.source} {lot.ref}). "
        f"Available: {balance.available}."
    )


def manual_lot(shop_id: int, ref: str) -> tuple[Any, ...]:
    """The condition for a lot that was granted by hand."""
    return CreditGrant.shop_id == shop_id, CreditGrant.source == "manual", CreditGrant.ref == ref


async def lots_of(connection: AsyncConnection, shop_id: int) -> list[Any]:
    """The lots that jobs may take from, in the order in which they do."""
    found = (
        select(CreditGrant)
        .where(CreditGrant.shop_id == shop_id, is_spendable())
        .order_by(*spending_order(CreditGrant))
    )
    return list((await connection.execute(found)).all())


async def newest_entries(connection: AsyncConnection, shop_id: int) -> list[Any]:
    """The newest entries, newest first."""
    found = (
        select(CreditEntry)
        .where(CreditEntry.shop_id == shop_id)
        .order_by(CreditEntry.seq.desc())
        .limit(NEWEST)
    )
    return list((await connection.execute(found)).all())


def lot_line(lot: Any) -> str:
    """One lot, in columns."""
    return (
        f"lot {lot.id:<8} {lot.source:<7} {lot.remaining:>8} of {lot.amount:<8} "
        f"expires {utc_text(lot.expires_at):<20}  {lot.ref}  {lot.reason or ''}"
    ).rstrip()


def entry_line(entry: Any) -> str:
    """One entry, in columns."""
    about = entry.job_id or f"lot {entry.grant_id}"
    return (
        f"{entry.seq:<8} {utc_text(entry.created_at)}  {entry.kind:<8} "
        f"available {entry.d_available:>+7}  held {entry.d_held:>+7}  {about}"
    )


@asynccontextmanager
async def of_one_shop(shop_domain: str) -> AsyncIterator[tuple[AsyncConnection, int]]:
    """A transaction in that shop, and its id. Raises `ShopNotInstalled`."""
    domain = normalized_shop_domain(shop_domain)
    database = Database(required_database_url(), role=WORKER, pool_size=1, statement_timeout=30)
    try:
        await database.require_schema()
        async with database.transaction(domain) as connection:
            shop_id = await connection.scalar(select(Shop.id).where(Shop.domain == domain))
            if domain is None or shop_id is None:
                raise ShopNotInstalled(
                    f"No shop {shop_domain} has had this app. Name it as in name.myshopify.com."
                )
            yield connection, shop_id
    finally:
        await database.close()
