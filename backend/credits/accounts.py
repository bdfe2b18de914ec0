"""A shop's account: its lock, its balance, and the one way to change it."""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

import msgspec
from sqlalchemy import ColumnElement, Select, func, or_, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.credits.models import CreditAccount, CreditGrant
from backend.errors import InsufficientBalance
from backend.metrics import CREDIT_ENTRIES, increment


class Balance(msgspec.Struct, frozen=True, kw_only=True):
    """What a shop may spend, and what its unfinished jobs hold, in credits."""

    available: int = 0
    held: int = 0


async def lock_account(connection: AsyncConnection, shop_id: int) -> None:
    """Have the shop's ledger for this transaction; whoever adds to it or takes from it waits."""
    await connection.execute(upsert(CreditAccount).values(shop_id=shop_id).on_conflict_do_nothing())
    await connection.execute(locked_account(shop_id))


def locked_account(shop_id: int) -> Select[int]:
    """The account's row, locked as the triggers on jobs do it."""
    mine = select(CreditAccount.shop_id).where(CreditAccount.shop_id == shop_id)
    return mine.with_for_update(key_share=True)


async def balance_of(connection: AsyncConnection, shop_id: int) -> Balance:
    """The shop's balance now; lots that have expired count no more, closed or not."""
    spendable = (
        select(func.coalesce(func.sum(CreditGrant.remaining), 0))
        .where(CreditGrant.shop_id == shop_id, is_spendable())
        .scalar_subquery()
    )
    found = select(spendable.label("available"), CreditAccount.held).where(
        CreditAccount.shop_id == shop_id
    )
    row = (await connection.execute(found)).one_or_none()
    return Balance() if row is None else Balance(available=int(row.available), held=row.held)


def is_spendable() -> ColumnElement[bool]:
    """Whether jobs may take from the lot."""
    is_alive = or_(CreditGrant.expires_at.is_(None), CreditGrant.expires_at > func.now())
    return (CreditGrant.remaining > 0) & is_alive


async def require_credits(connection: AsyncConnection, shop_id: int, required: int) -> None:
    """Raise `InsufficientBalance` unless the shop has that much; it keeps it in this transaction.

    Only the transaction's own jobs can take from it: the account is locked.
    """
    await connection.execute(locked_account(shop_id))
    available = (await balance_of(connection, shop_id)).available
    if available < required:
        raise InsufficientBalance(required=required, available=available)


async def count_affordable(connection: AsyncConnection, shop_id: int, prices: Sequence[int]) -> int:
    """How many jobs at these prices the shop can pay, in order; it keeps that, as above.

    Raises `InsufficientBalance` if it cannot pay the first.
    """
    await connection.execute(locked_account(shop_id))
    available = (await balance_of(connection, shop_id)).available
    number = bisect_right(list(accumulate(prices)), available)
    if prices and not number:
        raise InsufficientBalance(required=prices[0], available=available)
    return number


async def post_entry(
    connection: AsyncConnection, shop_id: int, kind: str, amount: int, grant_id: int
) -> None:
    """Add to what is available, or take from it, with an entry about the lot."""
    await connection.execute(
        select(func.post_credit_entry(shop_id, kind, amount, 0, None, grant_id))
    )
    increment(CREDIT_ENTRIES, kind)
