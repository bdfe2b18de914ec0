"""Idempotency keys: a repeated request is carried out once; its response is stored for a day.

The key is stored together with the response in the transaction that does the work, so there is
never one without the other. A concurrent second request waits for that transaction and gets its
response. Work that asks Shopify in between is no single transaction: it reserves its key first, and
stores the response at its end or frees the key.
"""

import hashlib
from datetime import timedelta
from typing import Any, TypeVar

import msgspec
from sqlalchemy import ColumnElement, Row, and_, func, literal, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.database_errors import LOCK_NOT_AVAILABLE
from backend.errors import IdempotencyKeyReused, RequestInProgress
from backend.jobs.models import IdempotencyKey

ANSWER_LIFETIME = timedelta(hours=24)
RESERVED_FOR = timedelta(minutes=1)  # longer than any request: then its process has died
RESERVED: dict[str, Any] = {}  # in the place of a response that is still to come
T = TypeVar("T", bound=msgspec.Struct)


class Repeatable(msgspec.Struct, frozen=True, kw_only=True):
    """A request by its Idempotency-Key, which is scoped to a shop and a route."""

    route: str
    key: str
    body: bytes

    @property
    def fingerprint(self) -> str:
        """Distinguishes one body from another."""
        return hashlib.sha256(self.body).hexdigest()


async def reserve_key(
    connection: AsyncConnection, request: Repeatable, *, shop_id: int, kind: type[T]
) -> T | None:
    """The response to an earlier request; None if this request is the one to carry out.

    Its key is reserved then, for `RESERVED_FOR`. Raises `IdempotencyKeyReused`, and
    `RequestInProgress` while another request has reserved the key.
    """
    if await claim_key(connection, request, shop_id=shop_id, answer=None):
        return None
    row = await stored_answer(connection, request, shop_id=shop_id)
    if row is None or row.answer == RESERVED:
        raise RequestInProgress
    return msgspec.convert(row.answer, kind)


async def keep_answer(
    connection: AsyncConnection, request: Repeatable, *, shop_id: int, answer: msgspec.Struct
) -> None:
    """Store the response for the key that this request has reserved."""
    values = {"answer": msgspec.to_builtins(answer)}
    await connection.execute(
        update(IdempotencyKey)
        .where(*is_key(request, shop_id), IdempotencyKey.answer == RESERVED)
        .values(**values)
    )


async def free_key(connection: AsyncConnection, request: Repeatable, *, shop_id: int) -> None:
    """Let the request be repeated: it had no response."""
    await connection.execute(
        update(IdempotencyKey)
        .where(*is_key(request, shop_id), IdempotencyKey.answer == RESERVED)
        .values(created_at=func.now() - ANSWER_LIFETIME)
    )


async def answered_before(
    connection: AsyncConnection, request: Repeatable, *, shop_id: int, answer: T
) -> T | None:
    """The response to an earlier request; None if this is the first, whose response is stored now.

    Raises `IdempotencyKeyReused` or `RequestInProgress`.
    """
    kind = type(answer)
    earlier = await earlier_answer(connection, request, shop_id=shop_id, kind=kind)
    if earlier or await claim_key(connection, request, shop_id=shop_id, answer=answer):
        return earlier
    return await earlier_answer(connection, request, shop_id=shop_id, kind=kind)


async def earlier_answer(
    connection: AsyncConnection, request: Repeatable, *, shop_id: int, kind: type[T]
) -> T | None:
    """The stored response to this request, if any. Raises `IdempotencyKeyReused`."""
    row = await stored_answer(connection, request, shop_id=shop_id)
    return None if row is None else msgspec.convert(row.answer, kind)


async def stored_answer(
    connection: AsyncConnection, request: Repeatable, *, shop_id: int
) -> Row[Any] | None:
    """The row of the key, unless it is too old. Raises `IdempotencyKeyReused`."""
    found: Any = select(IdempotencyKey.fingerprint, IdempotencyKey.answer).where(
        *is_key(request, shop_id), IdempotencyKey.created_at > func.now() - ANSWER_LIFETIME
    )
    row: Row[Any] | None = (await connection.execute(found)).one_or_none()
    if row is not None and row.fingerprint != request.fingerprint:
        detail = {"loc": ["header", "Idempotency-Key"], "type": "value_error"}
        raise IdempotencyKeyReused([{**detail, "msg": IdempotencyKeyReused.message}])
    return row


async def claim_key(
    connection: AsyncConnection,
    request: Repeatable,
    *,
    shop_id: int,
    answer: msgspec.Struct | None,
) -> bool:
    """Store this response for the request, unless another request has claimed the key meanwhile.

    None reserves the key. Waits for a concurrent request with the key, and raises
    `RequestInProgress` if that takes long.
    """
    values: dict[str, Any] = {
        "fingerprint": request.fingerprint,
        "answer": RESERVED if answer is None else msgspec.to_builtins(answer),
        "created_at": func.now(),
    }
    claimed = (
        upsert(IdempotencyKey)
        .values(shop_id=shop_id, route=request.route, key=request.key, **values)
        .on_conflict_do_update(
            index_elements=["shop_id", "route", "key"],
            set_=values,
            where=is_free(request),
        )
        .returning(literal(value=True))
    )
    try:
        return bool(await connection.scalar(claimed))
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) == LOCK_NOT_AVAILABLE:
            raise RequestInProgress from error
        raise


def is_free(request: Repeatable) -> ColumnElement[bool]:
    """Whether the row is too old, or the process that reserved it for this request has died."""
    is_abandoned = and_(
        IdempotencyKey.answer == RESERVED,
        IdempotencyKey.fingerprint == request.fingerprint,
        IdempotencyKey.created_at <= func.now() - RESERVED_FOR,
    )
    return or_(IdempotencyKey.created_at <= func.now() - ANSWER_LIFETIME, is_abandoned)


def is_key(request: Repeatable, shop_id: int) -> tuple[Any, ...]:
    """The row of the request's key."""
    return (
        IdempotencyKey.shop_id == shop_id,
        IdempotencyKey.route == request.route,
        IdempotencyKey.key == request.key,
    )
