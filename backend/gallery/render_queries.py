"""The reads of the gallery: one statement each, which enters the shop.

`ix_jobs_gallery` has each workflow's successful jobs in order, without those of storefront
visitors, and their category: a column, since row-level security lets no index be searched by an
expression over the request. So the newest of each workflow are read from the index, and the page
is taken from these: it costs the same however many jobs the shop has.
"""

from typing import Any

from sqlalchemy import (
    ARRAY,
    BindParameter,
    ColumnElement,
    Integer,
    Select,
    Text,
    bindparam,
    cast,
    column,
    func,
    literal_column,
    or_,
    select,
    true,
)

from backend.db import Query
from backend.jobs.models import Artifact, Job
from backend.jobs.queries import SHOP_DOMAIN, artifacts, of_shop
from backend.tenancy import SHOPS, entered_shop
from backend.workflows.pictures import THUMBNAIL

JOB_TYPES: BindParameter[Any] = bindparam("job_types", type_=ARRAY(Text))
CATEGORY: BindParameter[Any] = bindparam("category", type_=Text)
BEFORE_JOB: BindParameter[str] = bindparam("before", type_=Text)
PAGE_LIMIT: BindParameter[int] = bindparam("limit", type_=Integer)
PAGE_OFFSET: BindParameter[int] = bindparam("offset", type_=Integer)
# As the index has it: constants, since Postgres cannot prove it of a parameter.
IS_A_RENDER: tuple[ColumnElement[bool], ...] = (
    Job.status == literal_column("'SUCCESS'"),
    Job.origin != literal_column("'storefront'"),
)
RENDER_COLUMNS: tuple[Any, ...] = (
    Job.public_id,
    Job.job_type,
    Job.category,
    Job.created_at,
    Job.finished_at,
    Job.rerun_of,
    cast(Job.asked_by, Text).label("asked_by"),
)
SHOWN_IMAGES = or_(Artifact.role == "final", Artifact.kind == literal_column(f"'{THUMBNAIL}'"))


def renders_page(*narrower: ColumnElement[bool]) -> Select[Any]:
    """A page, newest first; no row if the shop is not installed, one of nulls if it is empty.

    The images are read for the page's rows, and not for those that an offset skips.
    """
    shop = entered_shop(SHOP_DOMAIN, SHOPS.c.status == "installed")
    types = func.unnest(JOB_TYPES).table_valued(column("job_type", Text)).render_derived("wanted")
    of_type = (
        select(Job.shop_id, *RENDER_COLUMNS)
        .where(Job.shop_id == shop.c.id, *IS_A_RENDER, Job.job_type == types.c.job_type)
        .where(Job.public_id < BEFORE_JOB, *narrower)
        .order_by(Job.public_id.desc())
        .limit(PAGE_LIMIT + PAGE_OFFSET)
        .correlate(shop, types)
        .lateral("of_type")
    )
    page = (
        select(of_type)
        .select_from(types)
        .join(of_type, true())
        .order_by(of_type.c.public_id.desc())
        .limit(PAGE_LIMIT)
        .offset(PAGE_OFFSET)
        .lateral("page")
    )
    shown = [each for each in page.c if each.name != "shop_id"]
    images = artifacts(SHOWN_IMAGES, shop_id=page.c.shop_id, job_id=page.c.public_id)
    rows = select(*shown, images).select_from(shop).outerjoin(page, true())
    return rows.order_by(page.c.public_id.desc())


def one_render() -> Select[Any]:
    """One job's images; nulls if the shop has no such job, or it is none of the gallery's."""
    return of_shop(select(*RENDER_COLUMNS, artifacts(SHOWN_IMAGES)), IS_A_RENDER)


RENDER_PAGE = Query(renders_page)
RENDER_PAGE_OF_CATEGORY = Query(lambda: renders_page(Job.category == CATEGORY))
ONE_RENDER = Query(one_render)
