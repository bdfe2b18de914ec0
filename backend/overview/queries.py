"""The read of the home page: one statement, whose counts stop at `MOST_COUNTED`."""

from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Date,
    FromClause,
    Select,
    Text,
    bindparam,
    func,
    literal_column,
    select,
)

from backend.db import Query
from backend.jobs.daily_quotas import RULE_CREDITS
from backend.jobs.models import DailyCount, Job
from backend.jobs.queries import SHOP_DOMAIN
from backend.overview.schemas import MOST_COUNTED
from backend.publications.models import Publication
from backend.review.queries import REVIEWABLE, is_up_to_date
from backend.rules.models import ShopSettings
from backend.shops.models import Shop
from backend.tenancy import SHOPS, entered_shop

SINCE_ID: BindParameter[str] = bindparam("since_id", type_=Text)
# Constants, as the partial indexes have them.
IS_WAITING = (*REVIEWABLE, Job.review == literal_column("'WAITING'"), is_up_to_date())
IS_RUNNING = (Job.status.in_([literal_column("'NOT_STARTED'"), literal_column("'IN_PROGRESS'")]),)
HAS_FAILED = (Job.status == literal_column("'FAILURE'"), Job.public_id >= SINCE_ID)


def overview() -> Select[Any]:
    """The numbers; no row if the shop is not installed."""
    shop = entered_shop(SHOP_DOMAIN, SHOPS.c.status == "installed")
    return select(
        capped_count(shop, *IS_WAITING).label("waiting"),
        capped_count(shop, *IS_RUNNING).label("running"),
        capped_count(shop, *HAS_FAILED).label("failed"),
        of_shop_row(shop, DailyCount.amount, *SPENT_TODAY).label("credits_spent_today"),
        of_shop_row(shop, ShopSettings.daily_credit_cap).label("daily_credit_cap"),
        setup_dismissed_at(shop).label("setup_dismissed_at"),
        exists_for(shop, Job).label("has_jobs"),
        exists_for(shop, Publication).label("has_publications"),
    ).select_from(shop)


def capped_count(shop: FromClause, *conditions: ColumnElement[bool]) -> Any:
    """How many of the shop's jobs meet the conditions; stops at the cap."""
    some = (
        select(Job.public_id)
        .where(Job.shop_id == shop.c.id, *conditions)
        .limit(literal_column(str(MOST_COUNTED)))
        .correlate(shop)
        .subquery()
    )
    return select(func.count()).select_from(some).correlate(shop).scalar_subquery()


def of_shop_row(shop: FromClause, column: Any, *conditions: ColumnElement[bool]) -> Any:
    """A column of the shop's one row that meets the conditions; null if there is none."""
    found = select(column).where(column.class_.shop_id == shop.c.id, *conditions)
    return found.correlate(shop).scalar_subquery()


def setup_dismissed_at(shop: FromClause) -> Any:
    """When a merchant closed the setup guide."""
    found = select(Shop.setup_dismissed_at).where(Shop.id == shop.c.id)
    return found.correlate(shop).scalar_subquery()


def exists_for(shop: FromClause, table: Any) -> Any:
    """Whether the shop has any row in the table."""
    return select(table.shop_id).where(table.shop_id == shop.c.id).correlate(shop).exists()


SPENT_TODAY = (
    DailyCount.day == func.timezone("UTC", func.now()).cast(Date),
    DailyCount.what == RULE_CREDITS,
)
OVERVIEW = Query(overview)
