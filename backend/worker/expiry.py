"""The statements that let the files of a slice of jobs expire.

A key leaves its row only after its object is deleted, and the API never lists an artifact without
an object. So a slice takes three steps. `retract` removes the artifacts from the API and keeps
their keys in the checkpoints. Then the objects are deleted. Then `forget_files` or `forget_jobs`
deletes the keys. After a crash in between, the next pass starts the slice again.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import CursorResult, TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.jobs.service import JobRef

# The jobs of a slice, and the join condition to them. `written` fills in the braces.
PARTS = {
    "slice": "unnest(CAST(:shop_ids AS bigint[]), CAST(:job_ids AS text[])) due(shop_id, job_id)",
    "this": "j.shop_id = due.shop_id AND j.public_id = due.job_id",
}

# Publishing locks the job's row (`publications.queries.job_kept`): once we hold the row, we have
# seen every live publication, and a job without artifacts cannot be published.
LOCKED = """
SELECT j.shop_id, j.public_id FROM jobs j JOIN {slice} ON {this} FOR UPDATE OF j SKIP LOCKED
"""
DISPENSABLE = """
    AND NOT EXISTS (
        SELECT FROM publications p
        WHERE p.shop_id = j.shop_id AND p.job_id = j.public_id
        AND p.status NOT IN ('FAILED', 'RESTORED')
    )
    AND NOT EXISTS (
        SELECT FROM batch_items i
        JOIN batches b ON b.shop_id = i.shop_id AND b.public_id = i.batch_id
        WHERE i.shop_id = j.shop_id AND i.job_id = j.public_id AND b.finished_at IS NULL
    )
    AND NOT EXISTS (
        SELECT FROM catalog_entries c
        WHERE c.shop_id = j.shop_id AND c.id = j.public_id AND c.archived_at IS NULL
    )
"""
# The URL of an upload is in its job's `request`; null means that the image is no longer kept.
RETRACTED = """
WITH marked AS (
    UPDATE jobs j SET
        files = CASE j.files WHEN 'KEPT' THEN 'EXPIRING' ELSE j.files END,
        attempt = j.attempt + 1,
        request = j.request || coalesce(
            (SELECT jsonb_object_agg(field, NULL::text) FROM jsonb_object_keys(j.request) AS field
             WHERE field LIKE '%upload\\_key'),
            '{{}}'
        )
    FROM {slice}
    WHERE {this} AND j.files = :files {only}
    RETURNING j.shop_id, j.public_id
), gone AS (
    DELETE FROM artifacts a USING marked
    WHERE a.shop_id = marked.shop_id AND a.job_id = marked.public_id AND a.role = ANY(:roles)
    AND a.kind <> ALL(:kept_kinds)
    RETURNING a.shop_id, a.job_id, a.stage, a.name, a.seq, a.key
), told AS (
    UPDATE job_events e SET extra = e.extra || jsonb_build_object(
        'expired_artifacts', coalesce((e.extra->>'expired_artifacts')::int, 0) + of_event.count
    )
    FROM (SELECT shop_id, job_id, seq, count(*) FROM gone GROUP BY 1, 2, 3) AS of_event
    WHERE e.shop_id = of_event.shop_id AND e.job_id = of_event.job_id AND e.seq = of_event.seq
), remembered AS (
    UPDATE job_stages s SET files = s.files || of_stage.files
    FROM (SELECT shop_id, job_id, stage, jsonb_object_agg(name, key) AS files
          FROM gone GROUP BY 1, 2, 3) AS of_stage
    WHERE s.shop_id = of_stage.shop_id AND s.job_id = of_stage.job_id AND s.stage = of_stage.stage
)
SELECT shop_id, public_id FROM marked
"""
# `OFFSET 0` makes Postgres look up each job's few rows by key, whatever its statistics say.
NAMED_BY_NO_ARTIFACT = """
SELECT file.value FROM {slice}
CROSS JOIN LATERAL (
    SELECT ARRAY(
        SELECT a.key FROM artifacts a WHERE a.shop_id = due.shop_id AND a.job_id = due.job_id
    ) AS keys OFFSET 0
) AS told
CROSS JOIN LATERAL (
    SELECT s.files FROM job_stages s
    WHERE s.shop_id = due.shop_id AND s.job_id = due.job_id OFFSET 0
) AS stage
CROSS JOIN LATERAL jsonb_each_text(stage.files) AS file
WHERE file.value <> ALL (told.keys)
"""
FILES_FORGOTTEN = """
WITH expired AS (
    UPDATE jobs j SET files = 'EXPIRED' FROM {slice} WHERE {this} AND j.files = 'EXPIRING'
    RETURNING j.shop_id, j.public_id
), emptied AS (
    UPDATE job_stages s SET files = '{{}}' FROM expired
    WHERE s.shop_id = expired.shop_id AND s.job_id = expired.public_id AND s.files <> '{{}}'
)
SELECT count(*) FROM expired
"""
JOBS_FORGOTTEN = """
WITH gone AS (
    DELETE FROM jobs j USING {slice} WHERE {this} AND j.files = 'EXPIRED'
    RETURNING j.shop_id, j.origin, j.natural_key
), past AS (
    INSERT INTO past_jobs (shop_id, natural_key)
    SELECT shop_id, natural_key FROM gone WHERE origin = 'webhook' AND natural_key IS NOT NULL
    ON CONFLICT DO NOTHING
)
SELECT count(*) FROM gone
"""


class Extent(msgspec.Struct, frozen=True, kw_only=True):
    """What expires: artifacts with these roles, of jobs with this `files` state.

    Artifacts of the `kept_kinds` stay.
    """

    files: str
    roles: tuple[str, ...]
    kept_kinds: tuple[str, ...] = ()
    only: str = ""


async def retract(
    connection: AsyncConnection, jobs: Sequence[JobRef], extent: Extent
) -> list[JobRef]:
    """Remove the artifacts from the API; return the jobs concerned.

    The event records how many of its artifacts have expired. `attempt` is incremented, and with it
    the ETag changes. Jobs whose rows are locked are skipped.
    """
    ours = refs(await connection.execute(written(LOCKED), of(jobs)))
    parameters = {
        **of(ours),
        "files": extent.files,
        "roles": list(extent.roles),
        "kept_kinds": list(extent.kept_kinds),
    }
    return refs(await connection.execute(written(RETRACTED, only=extent.only), parameters))


async def unannounced_keys(connection: AsyncConnection, jobs: Sequence[JobRef]) -> list[str]:
    """The jobs' stored objects that the API no longer lists."""
    return list(await connection.scalars(written(NAMED_BY_NO_ARTIFACT), of(jobs)))


async def forget_files(connection: AsyncConnection, jobs: Sequence[JobRef]) -> int:
    """Delete the keys; return how many of the jobs had any."""
    return int(await connection.scalar(written(FILES_FORGOTTEN), of(jobs)) or 0)


async def forget_jobs(connection: AsyncConnection, jobs: Sequence[JobRef]) -> int:
    """Delete the jobs, but keep the record of what rules created; return how many there were."""
    return int(await connection.scalar(written(JOBS_FORGOTTEN), of(jobs)) or 0)


def written(sql: str, **parts: str) -> TextClause:
    """Fill in the statement."""
    return text(sql.format(**PARTS, **parts))


def of(jobs: Sequence[JobRef]) -> dict[str, Any]:
    """The jobs as parameters of the statements."""
    return {
        "shop_ids": [job.shop_id for job in jobs],
        "job_ids": [job.public_id for job in jobs],
    }


def refs(rows: CursorResult[Any]) -> list[JobRef]:
    """The jobs in the rows of a result."""
    return [JobRef(**row) for row in rows.mappings()]
