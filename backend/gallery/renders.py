"""The gallery: a shop's finished images, page by page and one by one."""

import msgspec
from asyncpg import Record

from backend.errors import InvalidRequest, ResourceNotFound, ShopNotInstalled
from backend.gallery import render_queries
from backend.gallery.render_schemas import RenderListResponse, RenderProvenance, RenderResponse
from backend.jobs.asked_by import AskedBy
from backend.jobs.detail import ARTIFACT_DECODER, EMPTY_LIST, StoredArtifact, artifact_response
from backend.jobs.ids import lookup_id
from backend.jobs.listing import require_cursor
from backend.jobs.paging import next_query, query_problem
from backend.jobs.read_services import ReadServices
from backend.storage.presign import Presigner
from backend.workflows import RETIRED, WORKFLOWS, name_of
from backend.workflows.pictures import THUMBNAIL

ABOVE_ALL = "Z" * 26  # every ID is smaller
OP_CLASSES = tuple(sorted({workflow.op_class for workflow in WORKFLOWS.values()}))
JOB_TYPE_OF = {workflow.name: workflow.job_type for workflow in WORKFLOWS.values()} | {
    name: job_type for job_type, name in RETIRED.items()
}
ASKED_BY_DECODER = msgspec.json.Decoder(AskedBy)


class RenderListRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The query parameters. `origin` is a class of workflows, as in `RenderResponse`."""

    category: str | None
    origin: str | None
    workflow: str | None
    limit: int
    offset: int
    cursor: str | None


async def render_list(
    reads: ReadServices, *, shop_domain: str, wanted: RenderListRequest
) -> tuple[str | None, RenderListResponse]:
    """The page, and the query string of the next one if there are more.

    Raises `ShopNotInstalled` or `InvalidRequest`.
    """
    require_cursor(wanted)
    by_category = {} if wanted.category is None else {"category": wanted.category}
    query = render_queries.RENDER_PAGE_OF_CATEGORY if by_category else render_queries.RENDER_PAGE
    rows = await reads.database.rows(
        query,
        shop_domain=shop_domain,
        job_types=job_types(wanted.origin, wanted.workflow),
        before=wanted.cursor or ABOVE_ALL,
        limit=wanted.limit + 1,  # one more than is shown, to know whether there is a next page
        offset=wanted.offset,
        **by_category,
    )
    if not rows:
        raise ShopNotInstalled
    found = [row for row in rows if row["public_id"] is not None]
    page = found[: wanted.limit]
    following = next_query(wanted, page[-1]["public_id"]) if len(found) > len(page) else None
    renders = [render_response(row, reads.presigner) for row in page]
    return following, RenderListResponse(
        renders=renders, limit=wanted.limit, offset=wanted.offset, count=len(renders)
    )


async def one_render_of(reads: ReadServices, *, shop_domain: str, public_id: str) -> RenderResponse:
    """The images of one job. Raises `ShopNotInstalled` or `ResourceNotFound`."""
    row = await reads.database.row(
        render_queries.ONE_RENDER, shop_domain=shop_domain, public_id=lookup_id(public_id)
    )
    if row is None:
        raise ShopNotInstalled
    if row["public_id"] is None:
        raise ResourceNotFound
    return render_response(row, reads.presigner)


def job_types(op_class: str | None, workflow: str | None) -> list[str]:
    """The job types that the filters leave. Raises `InvalidRequest` for an unknown one."""
    if op_class is not None and op_class not in OP_CLASSES:
        raise InvalidRequest([query_problem("origin", f"Send one of {', '.join(OP_CLASSES)}.")])
    if workflow is not None and workflow not in JOB_TYPE_OF:
        message = "No such workflow. GET /v1/operations lists them."
        raise InvalidRequest([query_problem("workflow", message)])
    return [
        job_type
        for name, job_type in JOB_TYPE_OF.items()
        if workflow in {None, name} and op_class in {None, op_class_of(job_type)}
    ]


def op_class_of(job_type: str) -> str | None:
    """The class of the job type's workflow, if that is offered."""
    workflow = WORKFLOWS.get(job_type)
    return workflow.op_class if workflow else None


def render_response(row: Record, presigner: Presigner) -> RenderResponse:
    """One entry of the gallery."""
    images = ARTIFACT_DECODER.decode(row["artifacts"] or EMPTY_LIST)
    finals = [image for image in images if image.role == "final"]
    small = next((image for image in images if image.kind == THUMBNAIL), None)
    return RenderResponse(
        public_id=row["public_id"],
        job_type=row["job_type"],
        workflow=name_of(row["job_type"]),
        origin=op_class_of(row["job_type"]),
        category=row["category"],
        created_at=row["created_at"],
        finished_at=row["finished_at"],
        thumbnail=None if small is None else artifact_response(small, presigner),
        finals=[artifact_response(final, presigner) for final in finals],
        provenance=provenance_of(row, finals),
    )


def provenance_of(row: Record, finals: list[StoredArtifact]) -> RenderProvenance:
    """How the images were made, as the first final one says."""
    meta = finals[0].meta if finals else {}
    return RenderProvenance(
        generative=bool(meta.get("generative")),
        provider=meta.get("provider"),
        model=meta.get("model") or (meta.get("engine") or {}).get("model"),
        seed=meta.get("seed"),
        digital_source_type=meta.get("digital_source_type"),
        rerun_of=row["rerun_of"],
        asked_by=row["asked_by"] and ASKED_BY_DECODER.decode(row["asked_by"]),
    )
