"""`/v1/usage`: successful jobs and their credits by day and workflow, counted from the jobs.

The ids of jobs start with their time, so the primary key finds those of the last days. The cost
does not grow with the jobs before.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    BindParameter,
    Date,
    DateTime,
    Select,
    Text,
    bindparam,
    func,
    literal_column,
    select,
    true,
)

from backend.account.schemas import UsageOfADay, UsageResponse
from backend.db import Database, Query
from backend.errors import ShopNotInstalled
from backend.jobs.ids import first_id_at
from backend.jobs.models import Job
from backend.jobs.queries import SHOP_DOMAIN
from backend.tenancy import SHOPS, entered_shop
from backend.workflows import WORKFLOWS, name_of

# The id has the time of the process that made the job, and `created_at` that of Postgres. The id
# only narrows the search, so it may be wrong by this much.
CLOCK_DIFFERENCE = timedelta(hours=1)
OLDEST_ID: BindParameter[str] = bindparam("since_id", type_=Text)
OLDEST_TIME: BindParameter[datetime] = bindparam("since", type_=DateTime(timezone=True))


def usage_by_day() -> Select[Any]:
    """The counts since a time; no row if the shop is not installed, one of nulls if empty."""
    shop = entered_shop(SHOP_DOMAIN, SHOPS.c.status == "installed")
    day = func.timezone("UTC", Job.created_at).cast(Date).label("day")
    unpriced = func.count().filter(Job.credits_cost.is_(None)).label("unpriced")
    counted = (
        select(
            day,
            Job.job_type,
            func.count().label("jobs"),
            func.coalesce(func.sum(Job.credits_cost), 0).label("credits"),
            unpriced,
        )
        .where(
            Job.shop_id == shop.c.id,
            Job.public_id >= OLDEST_ID,
            Job.created_at >= OLDEST_TIME,
            Job.status == literal_column("'SUCCESS'"),
        )
        .group_by(day, Job.job_type)
        .lateral("counted")
    )
    rows = select(counted).select_from(shop).outerjoin(counted, true())
    return rows.order_by(counted.c.day, counted.c.job_type)


async def read_usage(database: Database, *, shop_domain: str, days: int) -> UsageResponse:
    """The usage of the last `days` days (UTC), today included. Raises `ShopNotInstalled`."""
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    since = today - timedelta(days=days - 1)
    rows = await database.rows(
        USAGE,
        shop_domain=shop_domain,
        since=since,
        since_id=first_id_at(since - CLOCK_DIFFERENCE),
    )
    if not rows:
        raise ShopNotInstalled
    return UsageResponse(days=[usage_of(row) for row in rows if row["day"] is not None])


def usage_of(row: Any) -> UsageOfADay:
    """One day and workflow; a job without a stored price costs what its workflow does."""
    workflow = WORKFLOWS.get(row["job_type"])
    price = workflow.credits_cost if workflow else 0
    return UsageOfADay(
        day=row["day"],
        workflow=name_of(row["job_type"]),
        jobs=row["jobs"],
        credits=row["credits"] + row["unpriced"] * price,
    )


USAGE = Query(usage_by_day)
