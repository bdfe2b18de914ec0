"""Random histories of eight writers at once keep every ledger's invariants.

The suite runs one. `make machine` runs many more; `LEDGER_SEED` repeats the one that failed.
"""

import asyncio
import os
import random
import secrets
import uuid

import pytest

from backend.db import Database
from backend.tenancy import WORKER
from tests.backend.credits.history import History, new_history
from tests.backend.credits.invariants import Invariants, checks_until
from tests.backend.credits.ledger import grant, post_job
from tests.running_app import RunningApp
from tests.scenarios import fingerprint

WRITERS = 8
HISTORIES = int(os.environ.get("LEDGER_HISTORIES", "1"))
STEPS = int(os.environ.get("LEDGER_STEPS", "40"))  # of each writer
SEED = int(os.environ.get("LEDGER_SEED", "0"))  # 0: another one each time


@pytest.mark.slow
@pytest.mark.timeout(0)
async def test_random_histories_of_eight_writers_keep_every_invariant(
    shared_app: RunningApp, shop: str
) -> None:
    await grant(shared_app, shop, 3)
    await post_job(shared_app, shop)
    untouched = await fingerprint(shared_app, shop)
    database = Database(shared_app.settings.database_url, role=WORKER, pool_size=WRITERS)
    invariants = Invariants(shared_app)
    try:
        for _ in range(HISTORIES):
            seed = SEED or secrets.randbits(32)
            print(f"LEDGER_SEED={seed}")
            domains = [f"history-{uuid.uuid4().hex[:12]}.myshopify.com" for _ in range(2)]
            histories = [await new_history(shared_app, database, domain) for domain in domains]
            await run_history(seed, histories, invariants)
    finally:
        await database.close()
    assert await fingerprint(shared_app, shop) == untouched, "another shop's rows have changed"


async def run_history(seed: int, histories: list[History], invariants: Invariants) -> None:
    """Let the writers act, most of them on the first shop, and check meanwhile and afterwards."""
    stopped = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        checking = group.create_task(checks_until(stopped, invariants))
        writers = [
            group.create_task(
                histories[number // (WRITERS - 2)].run_writer(
                    random.Random(f"{seed}.{number}"), STEPS
                )
            )
            for number in range(WRITERS)
        ]
        for writer in writers:
            await writer
        stopped.set()
    assert checking.result() > 0
    await invariants.hold()
    for history in histories:
        invariants.agree_with(history)
    busy = histories[0].told
    assert {"capture", "release"} <= set(busy.ends.values()), "a history in which little happens"
