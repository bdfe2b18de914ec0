"""Run a job again: with the same images, and the same or changed parameters.

The photo is the one that the job was made from, not the product's current one: an upload is named
again, and a photo from the shop is taken from the job that fetched it (`source_job_id` in the
request) as long as that keeps its files.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

import msgspec
from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.body import validation_problem
from backend.errors import (
    InvalidRequest,
    JobNotFound,
    PhotoExpired,
    StorefrontJobRefused,
    WorkflowDisabled,
)
from backend.jobs.asked_by import AskedBy
from backend.jobs.creation import (
    Made,
    job_accepted,
    require_category,
    require_distinct_outputs,
    require_further_images,
    stored_request,
    within,
)
from backend.jobs.idempotency import Repeatable, answered_before
from backend.jobs.ids import lookup_id, new_public_id
from backend.jobs.models import Job, JobStage
from backend.jobs.prices import price_of
from backend.jobs.service import request_job
from backend.settings import Quotas
from backend.shops.service import installed_account
from backend.uploads.service import keep_uploads
from backend.workflows import WORKFLOWS
from backend.workflows.offer import WorkflowOffer
from backend.workflows.pictures import UPLOAD_FIELD_SUFFIX
from backend.workflows.registry import Workflow
from backend.workflows.stages import StageName

SOURCE_JOB = "source_job_id"  # the field that names the job whose photo is used
PHOTO_FIELDS = ("upload_key", "product_id", "media_id", "source_url")


class RerunRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The parameters to change, as in the workflow's own request. The photo cannot be changed."""

    parameters: dict[str, Any] = {}


async def rerun_job(
    connection: AsyncConnection,
    wanted: RerunRequest,
    *,
    public_id: str,
    shop_domain: str,
    asked_by: AskedBy,
    request_id: str,
    repeatable: Repeatable | None,
    offer: WorkflowOffer,
    quotas: Quotas,
) -> Made:
    """Store the new job in the caller's transaction.

    Raises as `creation.make_job` does, and `JobNotFound`, `StorefrontJobRefused`, `PhotoExpired`,
    `WorkflowDisabled` or `WorkflowWithoutEngine`.
    """
    account = await installed_account(connection, shop_domain)
    shop_id = account.id
    job = await job_to_repeat(connection, shop_id, public_id)
    workflow = WORKFLOWS.get(job.job_type)
    if workflow is None:
        raise WorkflowDisabled
    offer.require(workflow)
    with within("parameters"):
        asked, kept = changed_request(workflow, job.request, wanted.parameters)
        require_category(workflow, asked, job.request.get("product_id"), offer)
    answer = job_accepted(new_public_id(), request_id, price_of(workflow, quotas))
    if repeatable:
        earlier = await answered_before(connection, repeatable, shop_id=shop_id, answer=answer)
        if earlier:
            return Made(answer=earlier, is_replay=True)
    account.require_room(quotas)  # a repeated request has its place already
    photo = await photo_of(connection, shop_id, job) if workflow.has_photo else {}
    await require_kept_uploads(connection, shop_id, {**photo, **kept})
    with within("parameters"):
        parameters = await stored_request(connection, shop_id, asked)
    await request_job(
        connection,
        workflow,
        shop_id=shop_id,
        public_id=answer.job_id,
        request={**photo, **kept, **parameters},
        origin="api",
        product_title=job.product_title,
        asked_by=asked_by,
        rerun_of=job.public_id,
        quotas=quotas,
    )
    return Made(answer=answer)


async def job_to_repeat(connection: AsyncConnection, shop_id: int, public_id: str) -> Row[Any]:
    """The shop's job. Raises `JobNotFound` or `StorefrontJobRefused`."""
    columns = (
        Job.public_id,
        Job.job_type,
        Job.origin,
        Job.request,
        Job.files,
        Job.product_title,
    )
    found = select(*columns).where(Job.shop_id == shop_id, Job.public_id == lookup_id(public_id))
    job = (await connection.execute(found)).one_or_none()
    if job is None:
        raise JobNotFound
    if job.origin == "storefront":
        raise StorefrontJobRefused
    return job


def changed_request(
    workflow: Workflow, stored: Mapping[str, Any], changes: Mapping[str, Any]
) -> tuple[msgspec.Struct, dict[str, Any]]:
    """The request with the changes, and the object keys of the further uploads that stay.

    To name a further image in any way replaces the one that the job had. Raises `InvalidRequest`.
    """
    kind = rerun_struct(workflow.job_type)
    replaced = {
        way
        for image in workflow.further_images
        if not changes.keys().isdisjoint(image.ways)
        for way in image.ways
    }
    stays = {name: value for name, value in stored.items() if name not in replaced}
    kept = {
        image.upload_field: stays[image.upload_field]
        for image in workflow.further_images
        if image.upload_field in stays
    }
    parameters = {
        name: stays[name]
        for name in kind.__struct_fields__
        if name in stays and not name.endswith(UPLOAD_FIELD_SUFFIX)
    }
    try:
        asked = msgspec.convert({**parameters, **changes}, kind)
    except msgspec.ValidationError as error:
        raise InvalidRequest([validation_problem(str(error), kind)]) from error
    require_further_images(workflow, asked, kept=kept)
    require_distinct_outputs(asked)
    return asked, kept


@cache
def rerun_struct(job_type: str) -> type[msgspec.Struct]:
    """The workflow's parameters and the fields of its further images, which are all optional."""
    workflow = WORKFLOWS[job_type]
    images = [
        (name, type_ | None, None)
        for image in workflow.further_images
        for name, type_, *_ in image.fields(image.ways)
    ]
    return workflow.request_with(f"{workflow.parameters.__name__}Rerun", *images)


async def photo_of(connection: AsyncConnection, shop_id: int, job: Row[Any]) -> dict[str, Any]:
    """The fields of the new request that name the job's photo. Raises `PhotoExpired`.

    A job that ended before it fetched its photo has none: the new one fetches it.
    """
    photo = {name: job.request[name] for name in PHOTO_FIELDS if name in job.request}
    if "upload_key" in photo:
        return photo
    if await has_fetched(connection, shop_id, job.public_id):
        if job.files != "KEPT":
            raise PhotoExpired
        return {**photo, SOURCE_JOB: job.public_id}
    source = job.request.get(SOURCE_JOB)
    if source is None:
        return photo
    if await files_of(connection, shop_id, source) != "KEPT":
        raise PhotoExpired
    return {**photo, SOURCE_JOB: source}


async def has_fetched(connection: AsyncConnection, shop_id: int, job_id: str) -> bool:
    """Whether the job has stored its photo."""
    fetched = select(JobStage.stage).where(
        JobStage.shop_id == shop_id, JobStage.job_id == job_id, JobStage.stage == StageName.FETCH
    )
    return await connection.scalar(fetched) is not None


async def files_of(connection: AsyncConnection, shop_id: int, job_id: str) -> str | None:
    """Whether the job still has its files; None if it is gone."""
    found = select(Job.files).where(Job.shop_id == shop_id, Job.public_id == job_id)
    return await connection.scalar(found)


async def require_kept_uploads(
    connection: AsyncConnection, shop_id: int, request: Mapping[str, Any]
) -> None:
    """Use the uploads that the request names by their object keys, unless one is gone.

    Raises `PhotoExpired`.
    """
    keys = [key for name, key in request.items() if name.endswith(UPLOAD_FIELD_SUFFIX)]
    if None in keys or not await keep_uploads(connection, shop_id=shop_id, keys=keys):
        raise PhotoExpired
