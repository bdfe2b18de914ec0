"""Fill in what workers of earlier releases did not store, and later ones do.

After its first night a backfill finds nothing. It can go in a later release.
"""

import structlog
from sqlalchemy import TextClause, text

from backend.db import Database

log = structlog.get_logger(__name__)

ROWS_PER_STEP = 1_000  # in one transaction
# Each statement takes the rows after a job, in the order of the jobs' keys. It returns the last
# job that it has looked at, and how many it has changed.
#
# `jobs.category`, of the jobs that ended before migration `0030_categories_attempts`.
COPY_CATEGORIES = text(
    """
    WITH page AS (
        SELECT shop_id, public_id AS job_id, request FROM jobs
        WHERE (shop_id, public_id) > (:shop_id, :job_id)
        AND status = 'SUCCESS' AND category IS NULL
        ORDER BY shop_id, public_id LIMIT :step
    ), known AS (
        SELECT page.shop_id, page.job_id, coalesce(
            page.request ->> 'category', stage.facts -> 'source' ->> 'category'
        ) AS category
        FROM page LEFT JOIN job_stages stage ON stage.shop_id = page.shop_id
            AND stage.job_id = page.job_id AND stage.stage = 'fetch'
    ), changed AS (
        UPDATE jobs SET category = known.category FROM known
        WHERE jobs.shop_id = known.shop_id AND jobs.public_id = known.job_id
        AND known.category IS NOT NULL
        RETURNING jobs.shop_id
    )
    SELECT shop_id, job_id, (SELECT count(*) FROM changed) AS changed FROM page
    ORDER BY shop_id DESC, job_id DESC LIMIT 1
    """
)
# `jobs.review`, of the jobs that were published before migration `0021_review`; with it the
# condition `review.queries.is_up_to_date` can go. Whoever is changing a publication now holds its
# row, and the trigger does the rest.
CORRECT_REVIEWS = text(
    """
    WITH live AS (
        SELECT shop_id, job_id FROM publications
        WHERE (shop_id, job_id) > (:shop_id, :job_id) AND status NOT IN ('FAILED', 'RESTORED')
        ORDER BY shop_id, job_id LIMIT :step FOR SHARE SKIP LOCKED
    ), changed AS (
        UPDATE jobs j SET review = 'PUBLISHED', dismissed_at = NULL FROM live
        WHERE j.shop_id = live.shop_id AND j.public_id = live.job_id AND j.review <> 'PUBLISHED'
        RETURNING j.shop_id
    )
    SELECT shop_id, job_id, (SELECT count(*) FROM changed) AS changed FROM live
    ORDER BY shop_id DESC, job_id DESC LIMIT 1
    """
)


async def copy_categories(database: Database, step: int = ROWS_PER_STEP) -> int:
    """Go through all successful jobs without a category; how many were given one."""
    copied = await changed_in_steps(database, COPY_CATEGORIES, step)
    if copied:
        log.info("categories_copied", jobs=copied)
    return copied


async def correct_reviews(database: Database, step: int = ROWS_PER_STEP) -> int:
    """Go through all live publications; how many jobs were corrected."""
    corrected = await changed_in_steps(database, CORRECT_REVIEWS, step)
    if corrected:
        log.info("reviews_corrected", jobs=corrected)
    return corrected


async def changed_in_steps(database: Database, statement: TextClause, step: int) -> int:
    """Run the statement from one page to the next, to the end; how many jobs were changed."""
    changed = 0
    after = {"shop_id": 0, "job_id": ""}
    while True:
        async with database.transaction() as connection:
            row = (await connection.execute(statement, {**after, "step": step})).one_or_none()
        if row is None:
            return changed
        after = {"shop_id": row.shop_id, "job_id": row.job_id}
        changed += row.changed
