"""The data that all three servers read: finished jobs of many shops, made by SQL in bulk."""

import asyncio
import random

import asyncpg

SHOPS = 100
FINALS, EVENTS = 4, 6
ID_LENGTH = 26

MAKE_SHOPS = """
INSERT INTO shops (domain, status, scopes)
SELECT 'shop-' || n || '.myshopify.com', 'installed', 'write_products,write_files'
FROM generate_series(0, $1 - 1) n
"""
# The id of job `n`: a ULID of ten characters of time, with a thousand jobs at each moment, and
# sixteen of chance, in Crockford's letters as far as hex goes.
ID = "'01K' || upper(lpad(to_hex(n / 1000), 7, '0') || left(md5('job' || n), 16))"
MAKE_JOBS = f"""
INSERT INTO jobs (shop_id, public_id, job_type, status, origin, request, last_seq, attempt,
                  created_at, started_at, finished_at)
SELECT 1 + n % {SHOPS}, {ID}, 'CATALOG_IMAGE', 'SUCCESS', 'webhook',
       jsonb_build_object(
           'product_id', 'gid://shopify/Product/' || n, 'margin', 0.08, 'shadow', 'none',
           'background', '#ffffff', 'media_id', 'gid://shopify/MediaImage/' || n,
           'source_url', 'https://cdn.shopify.com/s/files/1/1/files/' || n || '.jpg?v=1',
           'outputs', jsonb_build_array(
               jsonb_build_object('size', 2048, 'format', 'jpeg'),
               jsonb_build_object('size', 1024, 'format', 'webp')
           )
       ),
       {EVENTS}, 1, now() - interval '1 day', now() - interval '1 day', now() - interval '1 day'
FROM generate_series($1::bigint, $2 - 1) n
"""
MAKE_EVENTS = f"""
INSERT INTO job_events (shop_id, job_id, seq, event_type, stage, message, extra)
SELECT 1 + n % {SHOPS}, {ID}, seq,
       CASE seq WHEN 1 THEN 'queued' WHEN {EVENTS} THEN 'succeeded' ELSE 'stage' END,
       CASE WHEN seq IN (1, {EVENTS}) THEN NULL ELSE 'stage-' || seq END,
       'What happened at ' || seq,
       jsonb_build_object('progress', jsonb_build_object('done', seq - 1, 'total', {EVENTS} - 1))
FROM generate_series($1::bigint, $2 - 1) n, generate_series(1, {EVENTS}) seq
"""
MAKE_ARTIFACTS = f"""
INSERT INTO artifacts (shop_id, job_id, stage, name, ordinal, seq, role, kind, label, key, meta)
SELECT 1 + n % {SHOPS}, id, 'encode', 'catalog-' || place, place, {EVENTS} - 1, 'final',
       'catalog_image', '2048 × 2048 JPEG', 'artifacts/' || md5(id || place) || '.jpg',
       jsonb_build_object(
           'content_type', 'image/jpeg', 'bytes', 100000 + place, 'width', 2048, 'height', 2048,
           'sha256', md5(id || place) || md5(place || id), 'verdict', 'pass',
           'reasons', '[]'::jsonb, 'lqip', 'data:image/webp;base64,' || repeat('A', 120)
       )
FROM generate_series($1::bigint, $2 - 1) n, LATERAL (SELECT {ID} AS id) job,
     generate_series(0, {FINALS} - 1) place
"""


async def fill(url: str, jobs: int, *, start: int = 0) -> None:
    """Bring the database from `start` to `jobs` jobs, and tell the planner.

    Rows that are right by construction need no trigger to check their foreign keys, one by one.
    """
    if start == 0:
        await on_its_own(url, MAKE_SHOPS, SHOPS)
    tables = (MAKE_JOBS, MAKE_EVENTS, MAKE_ARTIFACTS)
    await asyncio.gather(*(on_its_own(url, rows, start, jobs) for rows in tables))
    for table in ("shops", "jobs", "job_events", "artifacts"):
        await on_its_own(url, f"VACUUM ANALYZE {table}")
    await on_its_own(url, "CHECKPOINT")


async def on_its_own(url: str, sql: str, *arguments: int) -> None:
    """Run a statement on a connection that fires no triggers."""
    connection = await asyncpg.connect(url, server_settings={"session_replication_role": "replica"})
    try:
        await connection.execute(sql, *arguments)
    finally:
        await connection.close()


async def some_jobs(url: str, count: int) -> list[tuple[str, str]]:
    """Pairs of a shop's domain and the id of one of its jobs, at random but the same each time."""
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch(
            "SELECT s.domain, j.public_id FROM jobs j JOIN shops s ON s.id = j.shop_id "
            "ORDER BY md5(j.public_id) LIMIT $1",
            count,
        )
    finally:
        await connection.close()
    found = [(row["domain"], row["public_id"]) for row in rows]
    random.Random(1).shuffle(found)
    return found
