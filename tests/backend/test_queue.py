"""Enqueueing belongs to the caller's transaction."""

import subprocess
import sys

import pytest
from sqlalchemy import text

from backend import queue
from backend.queue import MAX_FOREGROUND
from tests.running_app import RunningApp
from tests.scenarios import emptied_app, open_shared_app

shared_app = pytest.fixture(open_shared_app, scope="module")
running_app = pytest.fixture(emptied_app)

QUEUED = "SELECT dedupe_key, priority FROM queue.pgqueuer ORDER BY id"


def entry(number: int) -> queue.Entry:
    """A job's."""
    return queue.Entry(entrypoint=queue.RUN_JOB, dedupe_key="one", payload=b"{}", number=number)


@pytest.mark.parametrize("statement_first", [True, False])
async def test_an_entry_is_rolled_back_with_its_transaction(
    running_app: RunningApp, statement_first: bool
) -> None:
    with pytest.raises(RuntimeError):
        async with running_app.database.transaction() as connection:
            if statement_first:
                await connection.execute(text("SELECT 1"))
            await queue.enqueue(connection, entry(number=1))
            raise RuntimeError
    assert await running_app.rows(QUEUED) == []


async def test_the_same_key_is_queued_once(running_app: RunningApp) -> None:
    for number in (2, 1):
        async with running_app.database.transaction() as connection:
            await queue.enqueue(connection, entry(number=number))
    assert await running_app.rows(QUEUED) == [{"dedupe_key": "one", "priority": -2}]


async def test_a_shop_with_many_jobs_does_not_delay_other_shops(running_app: RunningApp) -> None:
    await running_app.install()
    await running_app.install("south.myshopify.com")
    for _ in range(3):
        await running_app.request_job()
    await running_app.request_job(shop="south.myshopify.com")
    rows = await running_app.rows(
        "SELECT shops.domain FROM queue.pgqueuer AS entry "
        "JOIN jobs ON entry.dedupe_key = 'run_job:' || jobs.shop_id || ':' || jobs.public_id "
        "JOIN shops ON shops.id = jobs.shop_id ORDER BY entry.priority DESC, entry.id"
    )
    order = [row["domain"].partition(".")[0] for row in rows]
    assert order == ["north", "south", "north", "north"]


async def test_a_shops_jobs_beyond_the_first_few_are_backlog(running_app: RunningApp) -> None:
    await running_app.install()
    for _ in range(MAX_FOREGROUND + 1):
        await running_app.request_job()
    rows = await running_app.rows("SELECT entrypoint FROM queue.pgqueuer ORDER BY id")
    assert [row["entrypoint"] for row in rows] == [queue.RUN_JOB] * MAX_FOREGROUND + [
        queue.RUN_BACKLOG
    ]


@pytest.mark.parametrize(
    ("entrypoint", "number", "waits_at"),
    [
        (queue.RUN_JOB, MAX_FOREGROUND, (queue.RUN_JOB, -MAX_FOREGROUND)),
        (queue.RUN_JOB, MAX_FOREGROUND + 1, (queue.RUN_BACKLOG, -MAX_FOREGROUND - 1)),
        (queue.HANDLE_WEBHOOK, queue.URGENT, (queue.HANDLE_WEBHOOK, 0)),
        (queue.HANDLE_WEBHOOK, 9_999, (queue.HANDLE_BACKLOG, -9_999)),
        (queue.PUBLISH, MAX_FOREGROUND + 1, (queue.PUBLISH_BACKLOG, -MAX_FOREGROUND - 1)),
        (queue.UNPUBLISH, MAX_FOREGROUND + 1, (queue.UNPUBLISH_BACKLOG, -MAX_FOREGROUND - 1)),
        (queue.EXPAND_BATCH, MAX_FOREGROUND + 1, (queue.EXPAND_BATCH, -MAX_FOREGROUND - 1)),
        (queue.SWEEP_PRODUCTS, queue.LAST, (queue.SWEEP_PRODUCTS, -queue.LAST)),
        (queue.RUN_JOB, -1, (queue.RUN_JOB, 0)),  # what was counted has ended meanwhile
    ],
)
def test_entry_point_and_priority_follow_from_the_entrys_number(
    entrypoint: str, number: int, waits_at: tuple[str, int]
) -> None:
    entry = queue.Entry(entrypoint=entrypoint, dedupe_key="", payload=b"", number=number)
    assert queue.queue_position(entry) == waits_at


TWO_THREADS = """
import threading
from backend import queue
thread = threading.Thread(target=queue.import_pgqueuer)
thread.start()
queue.queries(object())
thread.join()
"""


def test_a_request_may_need_pgqueuer_while_the_process_still_imports_it() -> None:
    """Its modules import each other: without a lock, two threads wait for one another."""
    command = [sys.executable, "-c", TWO_THREADS]
    ended = subprocess.run(command, check=False, capture_output=True, text=True)
    assert ended.stderr == ""
