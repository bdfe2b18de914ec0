"""Jobs that a shop's visitors start and see.

A visitor can be anybody: they name a product and nothing else, the same question within a day is
the same job, and a shop has only so many a day. Of these one visitor gets but a share, and the last
quarter is for customers who are logged in. What ends because there is no such product to be seen
does not count for the shop (`completion.return_quota`), but it does for whoever has asked.
"""

from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import msgspec
from sqlalchemy import Row, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.auth.guards import Visitor
from backend.errors import DailyCapReached, VisitorCapReached
from backend.jobs.asked_by import AskedBy
from backend.jobs.creation import job_accepted, require_distinct_outputs
from backend.jobs.daily_quotas import STOREFRONT_JOBS, STOREFRONT_VISITOR, is_within
from backend.jobs.models import Job
from backend.jobs.prices import kept_price, price_of
from backend.jobs.schemas import JobAcceptedResponse
from backend.jobs.service import natural_key, request_job
from backend.jobs.states import JobStatus
from backend.settings import Quotas
from backend.shops.service import installed_account
from backend.workflows.pictures import ProductGid
from backend.workflows.registry import Workflow

ORIGIN: Final = "storefront"
MOST = 2**31 - 1  # a cap that no count reaches


class DailyCaps(msgspec.Struct, frozen=True, kw_only=True):
    """The daily limits of visitors' jobs: per shop, and per visitor."""

    shop: int
    visitor: int

    def together(self, visitor: Visitor) -> int:
        """The shop's limit for this visitor; without a login, the last quarter is reserved."""
        return self.shop if visitor.customer_id else self.shop - self.shop // 4


def storefront_request(workflow: Workflow) -> type[msgspec.Struct]:
    """The workflow's request as a visitor may send it: a product is the only image source."""
    name = f"Storefront{workflow.parameters.__name__}"
    return workflow.request_with(name, ("product_id", ProductGid))


async def make_storefront_job(
    connection: AsyncConnection,
    workflow: Workflow,
    asked: msgspec.Struct,
    *,
    visitor: Visitor,
    request_id: str,
    caps: DailyCaps,
    quotas: Quotas,
) -> JobAcceptedResponse:
    """The visitor's job, created now or earlier today; after a failed one, a new one is created.

    Raises `InvalidRequest`, `ShopNotInstalled`, `DailyCapReached`, `VisitorCapReached`,
    `StorageQuotaReached`, `TooManyOpenJobs` or `InsufficientBalance`.
    """
    require_distinct_outputs(asked)
    account = await installed_account(connection, visitor.shop)
    shop_id = account.id
    now = datetime.now(UTC)
    request = msgspec.to_builtins(asked)
    key = key_of(workflow, request, visitor, now)
    earlier = await unfailed_job(connection, shop_id, key)
    if earlier is None and quotas.prepaid:
        # Before the credits: a job that ends takes the count first too. No other visitor makes a
        # job now: whoever has the account must not find one in its way that is just ending.
        await lock_count(connection, shop_id, now.date())
        earlier = await unfailed_job(connection, shop_id, key)
    if earlier is not None:
        price = kept_price(earlier.credits_cost, workflow)
        return job_accepted(earlier.public_id, request_id, price, JobStatus(earlier.status))
    account.require_room(quotas)  # today's job has its place already
    await release_failed(connection, shop_id, key)
    ref = await request_job(
        connection,
        workflow,
        shop_id=shop_id,
        request=request,
        origin=ORIGIN,
        asked_by=AskedBy(kind=ORIGIN),
        natural_key=key,
        customer_id=visitor.customer_id,
        quotas=quotas,
    )
    if ref is None:  # somebody has made it meanwhile
        return await make_storefront_job(
            connection,
            workflow,
            asked,
            visitor=visitor,
            request_id=request_id,
            caps=caps,
            quotas=quotas,
        )
    await count_job(connection, shop_id, now, visitor, caps)
    return job_accepted(ref.public_id, request_id, price_of(workflow, quotas))


def key_of(workflow: Workflow, request: dict[str, Any], visitor: Visitor, now: datetime) -> str:
    """Identifies the job: customer, request and day, because a product's photo can change."""
    wanted = msgspec.json.encode(request, order="deterministic").decode()
    return natural_key(
        ORIGIN, workflow.job_type, visitor.customer_id or "", wanted, now.date().isoformat()
    )


async def release_failed(connection: AsyncConnection, shop_id: int, key: str) -> None:
    """Free the key of a failed job."""
    await connection.execute(
        update(Job)
        .where(Job.shop_id == shop_id, Job.natural_key == key, Job.status == JobStatus.FAILURE)
        .values(natural_key=None)
    )


async def lock_count(connection: AsyncConnection, shop_id: int, day: date) -> None:
    """Have the count of the shop's visitors until the transaction ends."""
    await is_within(connection, shop_id, day, STOREFRONT_JOBS, amount=0, cap=MOST)


async def count_job(
    connection: AsyncConnection, shop_id: int, now: datetime, visitor: Visitor, caps: DailyCaps
) -> None:
    """Count a job for the visitor and for the shop today.

    Raises `VisitorCapReached` or `DailyCapReached`: then the transaction must not commit.
    """
    today = now.date()
    tomorrow = datetime.combine(today + timedelta(days=1), datetime.min.time(), UTC)
    left = int((tomorrow - now).total_seconds()) + 1
    for what, cap, reached in (
        (STOREFRONT_VISITOR + visitor.number, caps.visitor, VisitorCapReached),
        (STOREFRONT_JOBS, caps.together(visitor), DailyCapReached),
    ):
        if not await is_within(connection, shop_id, today, what, amount=1, cap=cap):
            raise reached(left)


async def unfailed_job(connection: AsyncConnection, shop_id: int, key: str) -> Row[Any] | None:
    """The shop's job with that key, unless it has failed."""
    found: Any = select(Job.public_id, Job.status, Job.credits_cost).where(
        Job.shop_id == shop_id, Job.natural_key == key, Job.status != JobStatus.FAILURE
    )
    row: Row[Any] | None = (await connection.execute(found)).one_or_none()
    return row
