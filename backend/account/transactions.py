"""`/v1/transactions`: what jobs have cost, and where credits came from, page by page.

Read from the ledger's entries, so a job is on the list after it was deleted. A job has one hold,
and its ID starts with its time: the index of the holds has them in order, so a page costs the same
however long the history is. The other list has an index of its own.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    BindParameter,
    FromClause,
    Integer,
    Select,
    Text,
    and_,
    bindparam,
    func,
    literal_column,
    select,
    true,
)
from sqlalchemy.orm import aliased

from backend.account.schemas import (
    TransactionResponse,
    TransactionsRequest,
    TransactionsResponse,
    TransactionStatus,
)
from backend.billing.models import Purchase
from backend.credits.models import CreditEntry, CreditGrant
from backend.db import Database, Query
from backend.errors import InvalidRequest, ShopNotInstalled
from backend.jobs.ids import is_public_id
from backend.jobs.models import Job
from backend.jobs.paging import next_query, query_problem
from backend.jobs.queries import SHOP_DOMAIN
from backend.tenancy import SHOPS, entered_shop
from backend.workflows import name_of

AFTER_EVERY_ID = "Z" * 26
AFTER_EVERY_SEQ = 2**63 - 1
STATUS_OF_JOB: dict[str | None, TransactionStatus] = {
    None: "PENDING",
    "capture": "SUCCESS",
    "release": "REFUNDED",
}
STATUS_OF_LOT: dict[str, TransactionStatus] = {
    "grant": "PURCHASED",
    "expire": "EXPIRED",
    "void": "REFUNDED",
}
KIND_OF_SOURCE = {"plan": "subscription"}  # the others have the source's own name
BEFORE_ID: BindParameter[str] = bindparam("before", type_=Text)
BEFORE_SEQ: BindParameter[int] = bindparam("before", type_=BigInteger)
PAGE_SIZE: BindParameter[int] = bindparam("limit", type_=Integer)


def operations_page() -> Select[Any]:
    """Holds with their ends; no row if the shop is not installed, one of nulls if empty."""
    shop = entered_shop(SHOP_DOMAIN, SHOPS.c.status == "installed")
    end = aliased(CreditEntry)
    ended = and_(
        end.shop_id == CreditEntry.shop_id,
        end.job_id == CreditEntry.job_id,
        end.kind.in_([literal_column("'capture'"), literal_column("'release'")]),
    )
    job = and_(Job.shop_id == CreditEntry.shop_id, Job.public_id == CreditEntry.job_id)
    found = (
        select(
            CreditEntry.job_id.label("id"),
            CreditEntry.created_at,
            end.kind.label("end_kind"),
            (CreditEntry.d_available + func.coalesce(end.d_available, 0)).label("credits_delta"),
            Job.job_type,
        )
        .select_from(CreditEntry)
        .outerjoin(end, ended)
        .outerjoin(Job, job)
        .where(
            CreditEntry.shop_id == shop.c.id,
            CreditEntry.kind == literal_column("'hold'"),
            CreditEntry.job_id < BEFORE_ID,
        )
        .order_by(CreditEntry.job_id.desc())
        .limit(PAGE_SIZE)
        .lateral("found")
    )
    return page_of(shop, found)


def purchases_page() -> Select[Any]:
    """Grants, and what expired or was voided of them; the same rows when there is none."""
    shop = entered_shop(SHOP_DOMAIN, SHOPS.c.status == "installed")
    lot = and_(CreditGrant.shop_id == CreditEntry.shop_id, CreditGrant.id == CreditEntry.grant_id)
    paid = and_(Purchase.shop_id == CreditGrant.shop_id, Purchase.charge_gid == CreditGrant.ref)
    found = (
        select(
            CreditEntry.seq.label("id"),
            CreditEntry.created_at,
            CreditEntry.kind,
            CreditEntry.d_available.label("credits_delta"),
            CreditGrant.source,
            func.coalesce(CreditGrant.reason, Purchase.label).label("label"),
        )
        .select_from(CreditEntry)
        .join(CreditGrant, lot)
        .outerjoin(Purchase, paid)
        .where(
            CreditEntry.shop_id == shop.c.id,
            CreditEntry.grant_id.is_not(None),
            CreditEntry.seq < BEFORE_SEQ,
        )
        .order_by(CreditEntry.seq.desc())
        .limit(PAGE_SIZE)
        .lateral("found")
    )
    return page_of(shop, found)


def page_of(shop: FromClause, found: Any) -> Select[Any]:
    """The rows that were found for the shop, newest first."""
    rows: Select[Any] = select(found)
    return rows.select_from(shop).outerjoin(found, true()).order_by(found.c.id.desc())


async def read_transactions(
    database: Database, *, shop_domain: str, wanted: TransactionsRequest
) -> tuple[str | None, TransactionsResponse]:
    """The page, and the query string of the next one if there are more.

    Raises `ShopNotInstalled`, and `InvalidRequest` for an invalid cursor.
    """
    is_spend = wanted.kind == "spend"
    rows = await database.rows(
        OPERATIONS_PAGE if is_spend else PURCHASES_PAGE,
        shop_domain=shop_domain,
        before=start_of(wanted),
        limit=wanted.limit + 1,  # one more than is shown, to know whether there is a next page
    )
    if not rows:
        raise ShopNotInstalled
    found = [row for row in rows if row["id"] is not None]
    page = found[: wanted.limit]
    following = next_query(wanted, page[-1]["id"]) if len(found) > len(page) else None
    items = [job_item(row) if is_spend else lot_item(row) for row in page]
    return following, TransactionsResponse(items=items, limit=wanted.limit, count=len(items))


def start_of(wanted: TransactionsRequest) -> str | int:
    """The key that the page's keys are below. Raises `InvalidRequest`."""
    is_spend = wanted.kind == "spend"
    if wanted.cursor is None:
        return AFTER_EVERY_ID if is_spend else AFTER_EVERY_SEQ
    if is_spend and is_public_id(wanted.cursor):
        return wanted.cursor
    if not is_spend and wanted.cursor.isdecimal() and int(wanted.cursor) <= AFTER_EVERY_SEQ:
        return int(wanted.cursor)
    raise InvalidRequest([query_problem("cursor", "Use the cursor from the Link header.")])


def job_item(row: Any) -> TransactionResponse:
    """A job's price."""
    return TransactionResponse(
        id=row["id"],
        kind="operation",
        label=name_of(row["job_type"]) if row["job_type"] else None,
        credits_delta=row["credits_delta"],
        status=STATUS_OF_JOB[row["end_kind"]],
        created_at=row["created_at"],
    )


def lot_item(row: Any) -> TransactionResponse:
    """A change of a lot."""
    source = row["source"]
    return TransactionResponse(
        id=str(row["id"]),
        kind=KIND_OF_SOURCE.get(source, source),
        label=row["label"],
        credits_delta=row["credits_delta"],
        status=STATUS_OF_LOT[row["kind"]],
        created_at=row["created_at"],
    )


OPERATIONS_PAGE, PURCHASES_PAGE = Query(operations_page), Query(purchases_page)
