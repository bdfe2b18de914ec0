"""The work that is put on the queue, and whether it was done as it should be."""

import time

import msgspec
from asyncpg import Connection

from backend import queue
from backend.credits.grants import grant_credits
from backend.db import Database
from backend.jobs.service import JobRef, request_jobs
from backend.settings import UNLIMITED, Quotas
from backend.workflows.registry import Workflow
from tests.benchmarks.jobs.worker import ENTRY_POINT

SHOPS = 5
CREDITS = 1_000_000  # of each shop: more than all jobs of a run cost together
EMPTY = "TRUNCATE jobs, queue.pgqueuer, queue.pgqueuer_log CASCADE"
# PgQueuer by itself also wakes for what is removed; without, it would sleep beside waiting work.
WAKE = """
CREATE OR REPLACE TRIGGER tg_pgqueuer_changed AFTER {} ON queue.pgqueuer
EXECUTE FUNCTION queue.{}()
"""
WAKE_FOR = {
    "pgqueuer": ("INSERT OR UPDATE OR DELETE OR TRUNCATE", "fn_pgqueuer_changed"),
    "ours": ("INSERT", "notify_new_entry"),
}
MAKE_SHOPS = """
INSERT INTO shops (domain, status, scopes)
SELECT 'shop-' || n || '.myshopify.com', 'installed', 'write_products' FROM generate_series(1, $1) n
"""
# A worker also has chores, such as an hourly look at each shop's products; they are not counted.
OURS = f"entrypoint IN ('{queue.RUN_JOB}', '{queue.RUN_BACKLOG}', '{ENTRY_POINT}')"
LEFT = f"SELECT count(*) FROM queue.pgqueuer WHERE {OURS}"
# Entries that PgQueuer has logged as done, each once, and nothing else of them.
DONE_ENTRIES = f"""
SELECT count(DISTINCT job_id) FILTER (WHERE status = 'successful')
     - count(*) FILTER (WHERE status NOT IN ('queued', 'picked', 'successful'))
     - (count(*) FILTER (WHERE status = 'successful') - count(DISTINCT job_id) FILTER (
           WHERE status = 'successful'))
FROM queue.pgqueuer_log WHERE {OURS}
"""
# Jobs that were claimed once, have one checkpoint, and these three events in this order; those that
# have a price have paid it.
DONE_JOBS = """
SELECT count(*) FROM jobs WHERE status = 'SUCCESS' AND attempt = 1 AND last_seq = 3
AND credit_state = CASE WHEN credits_cost > 0 THEN 'captured' ELSE 'none' END
AND started_at IS NOT NULL AND finished_at >= started_at
AND (SELECT array_agg(event_type ORDER BY seq) FROM job_events
     WHERE job_events.shop_id = jobs.shop_id AND job_id = public_id)
    = ARRAY['queued', 'stage', 'succeeded']
AND (SELECT count(*) FROM job_stages
     WHERE job_stages.shop_id = jobs.shop_id AND job_id = public_id) = 1
"""
HELD = "SELECT coalesce(sum(held), 0) FROM credit_accounts"


async def fund(database: Database) -> None:
    """Give every shop credits."""
    for shop_id in range(1, SHOPS + 1):
        async with database.transaction() as connection:
            await grant_credits(
                connection, shop_id, source="manual", ref="bench", amount=CREDITS, expires_at=None
            )


async def clear(connection: Connection, kind: str) -> None:
    """Nothing to do, and the queue as this kind of worker has it."""
    await connection.execute(EMPTY)
    await connection.execute(WAKE.format(*WAKE_FOR.get(kind, WAKE_FOR["ours"])))


async def put_entries(database: Database, count: int) -> float:
    """As many entries for PgQueuer alone, with the keys and payloads that jobs have.

    The moment before the transaction committed, like `put_jobs`.
    """
    refs = [JobRef(shop_id=1, public_id=f"{number:026}") for number in range(count)]
    async with database.transaction() as connection:
        entries = [
            queue.Entry(
                entrypoint=ENTRY_POINT,
                dedupe_key=f"{ENTRY_POINT}:{ref.public_id}",
                payload=msgspec.json.encode(ref),
                number=number,
            )
            for number, ref in enumerate(refs)
        ]
        await queue.enqueue(connection, *entries)
        return time.time()


async def put_jobs(
    database: Database, workflow: Workflow, count: int, quotas: Quotas = UNLIMITED
) -> float:
    """As many jobs, of several shops, as the product makes them."""
    async with database.transaction() as connection:
        for shop_id in range(1, SHOPS + 1):
            share = (count + shop_id - 1) // SHOPS
            await request_jobs(
                connection,
                workflow,
                shop_id=shop_id,
                requests=[{"product_id": f"gid://shopify/Product/{n}"} for n in range(share)],
                origin="api",
                quotas=quotas,
            )
        return time.time()


async def count_wrong(watcher: Connection, *, jobs: int, entries: int) -> int:
    """How much of the work is not done exactly as it should be."""
    done = await watcher.fetchval(DONE_ENTRIES)
    wrong = abs(jobs + entries - done) + await watcher.fetchval(LEFT) + await watcher.fetchval(HELD)
    return int(wrong + abs(jobs - await watcher.fetchval(DONE_JOBS)))
