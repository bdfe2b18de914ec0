"""Idempotency keys: a repeated request is carried out once; its response is stored for a day.

The key is stored together with the response in the transaction that does the work, so there is
never one without the other. A concurrent second request waits for that transaction and gets its
response.
"""

import hashlib
from datetime import timedelta
from typing import Any, TypeVar

import msgspec
from sqlalchemy import func, literal, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.db import LOCK_NOT_AVAILABLE
from backend.errors import IdempotencyKeyReused, RequestInProgress
from backend.jobs.models import IdempotencyKey

ANSWER_LIFETIME = timedelta(hours=24)
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
    row = (
        await connection.execute(
            select(IdempotencyKey.fingerprint, IdempotencyKey.answer).where(
                *is_key(request, shop_id), IdempotencyKey.created_at > func.now() - ANSWER_LIFETIME
            )
        )
    ).one_or_none()
    if row is None:
        return None
    if row.fingerprint != request.fingerprint:
        detail = {"loc": ["header", "Idempotency-Key"], "type": "value_error"}
        raise IdempotencyKeyReused([{**detail, "msg": IdempotencyKeyReused.message}])
    return msgspec.convert(row.answer, kind)


async def claim_key(
    connection: AsyncConnection, request: Repeatable, *, shop_id: int, answer: msgspec.Struct
) -> bool:
    """Store this response for the request, unless another request has claimed the key meanwhile.

    Waits for a concurrent request with the key, and raises `RequestInProgress` if that takes long.
    """
    values: dict[str, Any] = {
        "fingerprint": request.fingerprint,
        "answer": msgspec.to_builtins(answer),
        "created_at": func.now(),
    }
    claimed = (
        upsert(IdempotencyKey)
        .values(shop_id=shop_id, route=request.route, key=request.key, **values)
        .on_conflict_do_update(
            index_elements=["shop_id", "route", "key"],
            set_=values,
            where=IdempotencyKey.created_at <= func.now() - ANSWER_LIFETIME,
        )
        .returning(literal(value=True))
    )
    try:
        return bool(await connection.scalar(claimed))
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) == LOCK_NOT_AVAILABLE:
            raise RequestInProgress from error
        raise


def is_key(request: Repeatable, shop_id: int) -> tuple[Any, ...]:
    """The row of the request's key."""
    return (
        IdempotencyKey.shop_id == shop_id,
        IdempotencyKey.route == request.route,
        IdempotencyKey.key == request.key,
    )
