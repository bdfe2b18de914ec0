"""Requests and responses of `/v1/batches`."""

from typing import Annotated, Any, Literal

import msgspec

from backend.batches.states import BatchCounts, BatchStatus
from backend.failures.registry import Noun
from backend.failures.schema import code_of
from backend.jobs.schemas import Moment, PublicId
from backend.jobs.states import JobStatus
from backend.workflows import FOR_MANY_PRODUCTS
from backend.workflows.pictures import END, SHOPIFY_ID, ProductGid

MAX_LISTED = 1000
CollectionGid = Annotated[
    str,
    msgspec.Meta(
        pattern=f"^gid://shopify/Collection/{SHOPIFY_ID}{END}",
        description="A collection of this shop with at most 10,000 products.",
    ),
]
ProductGids = Annotated[
    tuple[ProductGid, ...],
    msgspec.Meta(min_length=1, max_length=MAX_LISTED, extra_json_schema={"uniqueItems": True}),
]
WorkflowName: Any = Literal[tuple(workflow.name for workflow in FOR_MANY_PRODUCTS)]
Parameters = Annotated[
    dict[str, Any],
    msgspec.Meta(
        description="The fields of `POST /v1/<workflow>`, without those that select the photo."
    ),
]


class BatchRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One workflow for many products. Set either `collection_id` or `product_ids`."""

    workflow: WorkflowName
    parameters: Parameters = {}
    collection_id: CollectionGid | None = None
    product_ids: ProductGids | None = None


class BatchError(msgspec.Struct, frozen=True, kw_only=True):
    """Why it failed: a stable code and a message."""

    code: Annotated[str, code_of(Noun.BATCH, Noun.JOB)]
    message: str
    retryable: bool


class BatchResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A batch, with its products counted by the status of their newest jobs.

    `waiting_for` says what the rest of it waits for: it goes on when the shop has the credits.
    `error` says why the collection could not be read completely.
    """

    public_id: PublicId
    workflow: str
    collection_id: str | None
    status: BatchStatus
    counts: BatchCounts
    waiting_for: Literal["credits"] | None = None  # absent from responses stored before it
    error: BatchError | None
    created_at: Moment
    finished_at: Moment | None


class BatchListResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A page, newest first, with `count` entries. `Link` has the next page."""

    batches: list[BatchResponse]
    limit: int
    count: int


class BatchItemResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A product, its newest job if it has one, and the error if it failed.

    `product_title` is null until that job has read the product.
    """

    product_id: str
    product_title: str | None
    job_id: PublicId | None
    status: JobStatus
    error: BatchError | None


class BatchItemsResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A page, in the order of the list or collection. `Link` has the next page."""

    public_id: PublicId
    items: list[BatchItemResponse]
    limit: int
    count: int
