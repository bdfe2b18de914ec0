"""Create a batch: checked, and stored in the caller's transaction. A worker creates its jobs."""

from typing import Any

import msgspec
from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.batches.leases import BatchRef, enqueue_expansion, require_room
from backend.batches.models import Batch, BatchItem
from backend.batches.schemas import BatchRequest, BatchResponse
from backend.batches.states import BatchCounts, BatchStatus
from backend.body import validation_problem
from backend.credits.accounts import require_credits
from backend.errors import InvalidRequest
from backend.jobs.asked_by import AskedBy, stored_asked_by
from backend.jobs.creation import (
    require_distinct_outputs,
    require_further_images,
    require_one,
    stored_request,
    within,
)
from backend.jobs.idempotency import Repeatable, answered_before
from backend.jobs.ids import new_public_id
from backend.jobs.prices import price_of
from backend.settings import Quotas
from backend.shops.service import installed_account
from backend.workflows import BY_NAME
from backend.workflows.registry import Workflow


class RequestedBatch(msgspec.Struct, frozen=True, kw_only=True):
    """The batch, and whether this is the response of an earlier request."""

    answer: BatchResponse
    is_replay: bool = False


async def request_batch(
    connection: AsyncConnection,
    wanted: BatchRequest,
    *,
    shop_domain: str,
    asked_by: AskedBy,
    repeatable: Repeatable | None,
    quotas: Quotas,
) -> RequestedBatch:
    """Store the batch with its queue entry, and with its items if the request lists them.

    Raises `ShopNotInstalled`, `InvalidRequest`, `IdempotencyKeyReused`, `RequestInProgress`,
    `StorageQuotaReached`, `TooManyOpenBatches`, or `InsufficientBalance` if all that is listed
    costs more than the shop has.
    """
    require_one(wanted, ("collection_id", "product_ids"), "the products")
    require_distinct_products(wanted.product_ids or ())
    parameters = checked_parameters(BY_NAME[wanted.workflow], wanted.parameters)
    account = await installed_account(connection, shop_domain)
    shop_id = account.id
    answer = accepted_batch(wanted, await connection.scalar(select(func.now())))
    if repeatable:
        earlier = await answered_before(connection, repeatable, shop_id=shop_id, answer=answer)
        if earlier:
            return RequestedBatch(answer=earlier, is_replay=True)
    account.require_room(quotas)  # a repeated request has its place already
    with within("parameters"):
        stored = await stored_request(connection, shop_id, parameters)
    await require_room(connection, shop_id, quotas)
    if quotas.prepaid:
        each = price_of(BY_NAME[wanted.workflow], quotas)
        await require_credits(connection, shop_id, each * len(wanted.product_ids or ()))
    ref = BatchRef(shop_id=shop_id, public_id=answer.public_id, round=0)
    await store_batch(connection, ref, wanted, stored, asked_by)
    return RequestedBatch(answer=answer)


def require_distinct_products(product_ids: tuple[str, ...]) -> None:
    """Raise `InvalidRequest` for each product that is in the list twice."""
    seen: set[str] = set()
    repeated = []
    for index, product_id in enumerate(product_ids):
        if product_id in seen:
            repeated.append(index)
        seen.add(product_id)
    if repeated:
        message = "This product is already in the list."
        raise InvalidRequest(
            [
                {"loc": ["body", "product_ids", index], "msg": message, "type": "value_error"}
                for index in repeated
            ]
        )


def checked_parameters(workflow: Workflow, parameters: dict[str, Any]) -> msgspec.Struct:
    """The parameters, checked by the workflow's own request type. Raises `InvalidRequest`."""
    kind = workflow.without_photo
    with within("parameters"):
        try:
            checked = msgspec.convert(parameters, kind)
        except msgspec.ValidationError as error:
            raise InvalidRequest([validation_problem(str(error), kind)]) from error
        require_further_images(workflow, checked)
        require_distinct_outputs(checked)
    return checked


def accepted_batch(wanted: BatchRequest, now: Any) -> BatchResponse:
    """The response to a request that is about to be stored."""
    listed = len(wanted.product_ids or ())
    return BatchResponse(
        public_id=new_public_id(),
        workflow=wanted.workflow,
        collection_id=wanted.collection_id,
        status=BatchStatus.EXPANDING,
        counts=BatchCounts(total=listed, not_started=listed),
        waiting_for=None,
        error=None,
        created_at=now,
        finished_at=None,
    )


async def store_batch(
    connection: AsyncConnection,
    ref: BatchRef,
    wanted: BatchRequest,
    parameters: dict[str, Any],
    asked_by: AskedBy,
) -> None:
    """Insert the rows and the queue entry."""
    await connection.execute(
        insert(Batch).values(
            shop_id=ref.shop_id,
            public_id=ref.public_id,
            job_type=BY_NAME[wanted.workflow].job_type,
            parameters=parameters,
            collection_id=wanted.collection_id,
            asked_by=stored_asked_by(asked_by),
            is_read=wanted.collection_id is None,
        )
    )
    rows = [
        {
            "shop_id": ref.shop_id,
            "batch_id": ref.public_id,
            "ordinal": ordinal,
            "product_id": product_id,
        }
        for ordinal, product_id in enumerate(wanted.product_ids or (), 1)
    ]
    if rows:
        await connection.execute(insert(BatchItem), rows)
    await enqueue_expansion(connection, ref)
