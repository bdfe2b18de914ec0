"""The home page's numbers in one read, and the setup guide's dismissal."""

import hashlib
from datetime import UTC, datetime, timedelta
from http import HTTPStatus

import msgspec
from sqlalchemy import func, update
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.db import Database
from backend.errors import ShopNotInstalled
from backend.jobs.etags import matches, retry_after_header
from backend.jobs.ids import first_id_at
from backend.jobs.queries import installed
from backend.overview import queries
from backend.overview.schemas import OverviewResponse, SetupResponse
from backend.rules.schemas import DEFAULTS
from backend.shops.models import Shop
from backend.web import JsonResponse

FAILED_WITHIN = timedelta(days=7)
POLL_WHILE_RUNNING = 5  # seconds


async def read_overview(database: Database, *, shop_domain: str, tags: str | None) -> JsonResponse:
    """The numbers, or a 304 if the caller has them; `tags` is the If-None-Match header.

    Raises `ShopNotInstalled`.
    """
    since_id = first_id_at(datetime.now(UTC) - FAILED_WITHIN)
    row = await database.row(queries.OVERVIEW, shop_domain=shop_domain, since_id=since_id)
    if row is None:
        raise ShopNotInstalled
    cap = row["daily_credit_cap"]
    body = OverviewResponse(
        waiting=row["waiting"],
        running=row["running"],
        failed=row["failed"],
        credits_spent_today=row["credits_spent_today"] or 0,
        daily_credit_cap=DEFAULTS.daily_credit_cap if cap is None else cap,
        setup=SetupResponse(
            dismissed=row["setup_dismissed_at"] is not None,
            has_jobs=row["has_jobs"],
            has_publications=row["has_publications"],
            has_own_rules=cap is not None,
        ),
    )
    digest = hashlib.blake2b(msgspec.json.encode(body), digest_size=16).hexdigest()
    headers = {"ETag": f'"{digest}"', "Cache-Control": "private, no-cache"}
    if body.running:
        headers |= retry_after_header(POLL_WHILE_RUNNING)
    if tags and matches(tags, headers["ETag"]):
        return JsonResponse(HTTPStatus.NOT_MODIFIED, headers, None)
    return JsonResponse(HTTPStatus.OK, headers, body)


async def set_setup_dismissed(
    connection: AsyncConnection, *, shop_domain: str, dismissed: bool
) -> None:
    """Close the setup guide, or show it again. Raises `ShopNotInstalled`."""
    at = func.coalesce(Shop.setup_dismissed_at, func.now()) if dismissed else None
    changed = await connection.execute(
        update(Shop).where(*installed(shop_domain)).values(setup_dismissed_at=at)
    )
    if not changed.rowcount:
        raise ShopNotInstalled
