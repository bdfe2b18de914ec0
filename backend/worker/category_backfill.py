"""Copy the categories of the jobs that ended before migration `0030_categories_attempts`.

Workers store the category of each later job themselves. So this finds nothing after its first
night, and can go in a later release.
"""

import structlog
from sqlalchemy import text

from backend.db import Database

log = structlog.get_logger(__name__)

JOBS_PER_STEP = 1_000  # in one transaction
COPY = text(
    """
    WITH page AS (
        SELECT shop_id, public_id, request FROM jobs
        WHERE (shop_id, public_id) > (:shop_id, :public_id)
        AND status = 'SUCCESS' AND category IS NULL
        ORDER BY shop_id, public_id LIMIT :step
    ), known AS (
        SELECT page.shop_id, page.public_id, coalesce(
            page.request ->> 'category', stage.facts -> 'source' ->> 'category'
        ) AS category
        FROM page LEFT JOIN job_stages stage ON stage.shop_id = page.shop_id
            AND stage.job_id = page.public_id AND stage.stage = 'fetch'
    ), copied AS (
        UPDATE jobs SET category = known.category FROM known
        WHERE jobs.shop_id = known.shop_id AND jobs.public_id = known.public_id
        AND known.category IS NOT NULL
        RETURNING jobs.shop_id
    )
    SELECT shop_id, public_id, (SELECT count(*) FROM copied) AS copied FROM page
    ORDER BY shop_id DESC, public_id DESC LIMIT 1
    """
)


async def copy_categories(database: Database, step: int = JOBS_PER_STEP) -> int:
    """Go through all successful jobs without a category, step by step; how many were copied."""
    copied = 0
    after = {"shop_id": 0, "public_id": ""}
    while True:
        async with database.transaction() as connection:
            row = (await connection.execute(COPY, {**after, "step": step})).one_or_none()
        if row is None:
            break
        after = {"shop_id": row.shop_id, "public_id": row.public_id}
        copied += row.copied
    if copied:
        log.info("categories_copied", jobs=copied)
    return copied
