"""Create a job for a merchant or their server: in one transaction, and only once."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.catalog.models import CatalogKind
from backend.catalog.service import use_catalog
from backend.errors import InvalidRequest
from backend.jobs.asked_by import AskedBy
from backend.jobs.idempotency import Repeatable, answered_before
from backend.jobs.ids import new_public_id
from backend.jobs.prices import price_of
from backend.jobs.schemas import JobAcceptedResponse
from backend.jobs.service import request_job
from backend.jobs.states import JobStatus
from backend.settings import Quotas
from backend.shops.service import installed_account
from backend.uploads.service import use_uploads
from backend.workflows import ENTRY_FIELDS
from backend.workflows.further_images import object_field_of
from backend.workflows.offer import WorkflowOffer
from backend.workflows.pictures import UPLOAD_FIELD_SUFFIX, ProductPhoto
from backend.workflows.product_to_model import PRODUCT_TO_MODEL_DIRECT
from backend.workflows.registry import Workflow


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """The response, and whether it is that of an earlier request."""

    answer: JobAcceptedResponse
    is_replay: bool = False


async def make_job(
    connection: AsyncConnection,
    workflow: Workflow,
    asked: msgspec.Struct,
    *,
    shop_domain: str,
    asked_by: AskedBy,
    request_id: str,
    repeatable: Repeatable | None,
    offer: WorkflowOffer,
    quotas: Quotas,
) -> Made:
    """Store the job with its first event and its queue entry, in the caller's transaction.

    Raises `ShopNotInstalled`, `InvalidRequest`, `IdempotencyKeyReused`, `RequestInProgress`,
    `StorageQuotaReached` or `TooManyOpenJobs`.
    """
    if workflow.has_photo:
        require_one_photo(asked)
    require_further_images(workflow, asked)
    require_category(workflow, asked, getattr(asked, "product_id", None), offer)
    require_distinct_outputs(asked)
    account = await installed_account(connection, shop_domain)
    shop_id = account.id
    price = price_of(workflow, quotas)
    answer = job_accepted(new_public_id(), request_id, price)
    if repeatable:
        earlier = await answered_before(connection, repeatable, shop_id=shop_id, answer=answer)
        if earlier:
            return Made(answer=earlier, is_replay=True)
    account.require_room(quotas)  # a repeated request has its place already
    await request_job(
        connection,
        workflow,
        shop_id=shop_id,
        public_id=answer.job_id,
        request=await stored_request(connection, shop_id, asked),
        origin="api",
        asked_by=asked_by,
        quotas=quotas,
    )
    return Made(answer=answer)


def job_accepted(
    public_id: str, request_id: str, credits_cost: int, status: JobStatus = JobStatus.NOT_STARTED
) -> JobAcceptedResponse:
    """The response to a request for which there is this job now."""
    return JobAcceptedResponse(
        request_id=request_id,
        job_id=public_id,
        status=status,
        credits_cost=credits_cost,
    )


async def stored_request(
    connection: AsyncConnection, shop_id: int, asked: msgspec.Struct
) -> dict[str, Any]:
    """The request as the job stores it: complete, with the object key of each upload and entry.

    An entry's id stays beside its key. Raises `InvalidRequest`.
    """
    fields = {
        name: value for name, value in msgspec.to_builtins(asked).items() if value is not None
    }
    uploads = {name: key for name, key in fields.items() if name.endswith(UPLOAD_FIELD_SUFFIX)}
    fields |= await use_uploads(connection, shop_id=shop_id, wanted=uploads)
    entries = {
        name: (CatalogKind(kind), fields[name])
        for name, kind in ENTRY_FIELDS.items()
        if name in fields
    }
    keys = await use_catalog(connection, shop_id=shop_id, wanted=entries)
    return fields | {object_field_of(name): key for name, key in keys.items()}


@contextmanager
def within(*place: str | int) -> Iterator[None]:
    """Report errors in a workflow's own fields as errors at `place` in the body."""
    try:
        yield
    except InvalidRequest as error:
        raise InvalidRequest(
            [{**item, "loc": ["body", *place, *item["loc"][1:]]} for item in error.detail]
        ) from error


def require_distinct_outputs(asked: msgspec.Struct) -> None:
    """Raise `InvalidRequest` if two outputs are the same."""
    outputs = getattr(asked, "outputs", ())
    if len(set(outputs)) == len(outputs):
        return
    message = "Two outputs have the same size and format."
    raise InvalidRequest([{"loc": ["body", "outputs"], "msg": message, "type": "value_error"}])


def require_one_photo(asked: msgspec.Struct) -> None:
    """Raise `InvalidRequest` unless exactly one field selects the photo."""
    require_one(asked, ProductPhoto.__struct_fields__, "the photo")


def require_further_images(
    workflow: Workflow, asked: msgspec.Struct, *, kept: Collection[str | None] = ()
) -> None:
    """Raise `InvalidRequest` unless each further image is named once, or not if it is optional.

    An upload field that is `kept` names its image elsewhere.
    """
    for image in workflow.further_images:
        if image.upload_field in kept:
            continue
        ways = [name for name in image.ways if hasattr(asked, name)]
        given = any(getattr(asked, name) is not None for name in ways)
        if given or image.is_required:
            require_one(asked, ways, image.what)


def require_category(
    workflow: Workflow, asked: Any, product_id: str | None, offer: WorkflowOffer
) -> None:
    """Raise `InvalidRequest` if the mannequin needs a category that no product can tell.

    A hosted engine sees the garment itself.
    """
    needs_category = workflow is PRODUCT_TO_MODEL_DIRECT and workflow.name not in offer.hosted
    if not needs_category or asked.category or product_id:
        return
    message = "Set the category: without a product_id nothing else tells it."
    raise InvalidRequest([{"loc": ["body", "category"], "msg": message, "type": "value_error"}])


def require_one(asked: msgspec.Struct, ways: Sequence[str], what: str) -> None:
    """Raise `InvalidRequest` unless exactly one of these fields is set to select `what`."""
    given = [name for name in ways if getattr(asked, name) is not None]
    if len(given) == 1:
        return
    which = f"exactly one of {', '.join(ways)}" if len(ways) > 1 else ways[0]
    message = f"Set {which} to select {what}."
    raise InvalidRequest(
        [
            {"loc": ["body", name], "msg": message, "type": "value_error"}
            for name in given or ways[:1]
        ]
    )
