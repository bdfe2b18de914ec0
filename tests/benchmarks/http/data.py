"""The data that all three servers read: finished jobs of many shops, made by SQL in bulk."""

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
# A ULID of ten characters of time and sixteen of chance, in Crockford's letters as far as hex goes.
MAKE_JOBS = """
INSERT INTO jobs (shop_id, public_id, job_type, status, origin, request, last_seq, attempt,
                  created_at, started_at, finished_at)
SELECT 1 + n % $2,
       '01K' || upper(left(md5('time' || n / 1000), 7)) || upper(left(md5('job' || n), 16)),
       'CATALOG_IMAGE', 'SUCCESS', 'webhook',
       jsonb_build_object(
           'product_id', 'gid://shopify/Product/' || n, 'margin', 0.08, 'shadow', 'none',
           'background', '#ffffff', 'media_id', 'gid://shopify/MediaImage/' || n,
           'source_url', 'https://cdn.shopify.com/s/files/1/1/files/' || n || '.jpg?v=1',
           'outputs', '[{"size": 2048, "format": "jpeg"}, {"size": 1024, "format": "webp"}]'::jsonb
       ),
       $3, 1, now() - interval '1 day', now() - interval '1 day', now() - interval '1 day'
FROM generate_series($4::bigint, $1 - 1) n
"""
MAKE_EVENTS = """
INSERT INTO job_events (shop_id, job_id, seq, event_type, stage, message, extra)
SELECT shop_id, public_id, seq,
       CASE seq WHEN 1 THEN 'queued' WHEN $1 THEN 'succeeded' ELSE 'stage' END,
       CASE WHEN seq IN (1, $1) THEN NULL ELSE 'stage-' || seq END,
       'What happened at ' || seq,
       jsonb_build_object('progress', jsonb_build_object('done', seq - 1, 'total', $1 - 1))
FROM jobs, generate_series(1, $1) seq WHERE request->>'product_id' >= ''
AND NOT EXISTS (SELECT 1 FROM job_events e WHERE e.shop_id = jobs.shop_id AND e.job_id = public_id)
"""
MAKE_ARTIFACTS = """
INSERT INTO artifacts (shop_id, job_id, stage, name, ordinal, seq, role, kind, label, key, meta)
SELECT shop_id, public_id, 'encode', 'catalog-' || n, n, $2 - 1, 'final', 'catalog_image',
       '2048 × 2048 JPEG',
       'artifacts/' || md5(public_id || n) || '.jpg',
       jsonb_build_object(
           'content_type', 'image/jpeg', 'bytes', 100000 + n, 'width', 2048, 'height', 2048,
           'sha256', md5(public_id || n) || md5(n || public_id), 'verdict', 'pass',
           'reasons', '[]'::jsonb, 'lqip', 'data:image/webp;base64,' || repeat('A', 120)
       )
FROM jobs, generate_series(0, $1 - 1) n
WHERE NOT EXISTS (SELECT 1 FROM artifacts a WHERE a.shop_id = jobs.shop_id AND a.job_id = public_id)
"""


async def fill(url: str, jobs: int, *, start: int = 0) -> None:
    """Bring the database from `start` to `jobs` jobs, and tell the planner."""
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction():
            if start == 0:
                await connection.execute(MAKE_SHOPS, SHOPS)
            await connection.execute(MAKE_JOBS, jobs, SHOPS, EVENTS, start)
            await connection.execute(MAKE_EVENTS, EVENTS)
            await connection.execute(MAKE_ARTIFACTS, FINALS, EVENTS)
        for table in ("shops", "jobs", "job_events", "artifacts"):
            await connection.execute(f"VACUUM ANALYZE {table}")
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
