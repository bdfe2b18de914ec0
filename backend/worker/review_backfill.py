"""Correct `jobs.review` of the jobs that were published before migration `0021_review`.

A trigger keeps it right for every later change. So this finds nothing after its first night, and
can go in a later release, with the condition `review.queries.is_up_to_date`.
"""

import structlog
from sqlalchemy import text

from backend.db import Database

log = structlog.get_logger(__name__)

PUBLICATIONS_PER_STEP = 1_000  # in one transaction
# Whoever is changing a publication now holds its row, and the trigger does the rest.
CORRECT = text(
    """
    WITH live AS (
        SELECT shop_id, job_id FROM publications
        WHERE (shop_id, job_id) > (:shop_id, :job_id) AND status NOT IN ('FAILED', 'RESTORED')
        ORDER BY shop_id, job_id LIMIT :step FOR SHARE SKIP LOCKED
    ), corrected AS (
        UPDATE jobs j SET review = 'PUBLISHED', dismissed_at = NULL FROM live
        WHERE j.shop_id = live.shop_id AND j.public_id = live.job_id AND j.review <> 'PUBLISHED'
        RETURNING j.shop_id
    )
    SELECT shop_id, job_id, (SELECT count(*) FROM corrected) AS corrected FROM live
    ORDER BY shop_id DESC, job_id DESC LIMIT 1
    """
)


async def correct_reviews(database: Database, step: int = PUBLICATIONS_PER_STEP) -> int:
    """Go through all live publications, step by step; how many jobs were corrected."""
    corrected = 0
    after = {"shop_id": 0, "job_id": ""}
    while True:
        async with database.transaction() as connection:
            row = (await connection.execute(CORRECT, {**after, "step": step})).one_or_none()
        if row is None:
            break
        after = {"shop_id": row.shop_id, "job_id": row.job_id}
        corrected += row.corrected
    if corrected:
        log.info("reviews_corrected", jobs=corrected)
    return corrected
