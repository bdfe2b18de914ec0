"""kill -9 of web, worker and Postgres while jobs hold and settle their prices: all adds up."""

import asyncio
import contextlib
import os
import random
import uuid
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from backend.credits.grants import grant_credits
from backend.dev.services import EmbeddedPostgres, LocalServices
from backend.errors import DatabaseUnavailable
from backend.renderers.base import Renderer
from backend.shops.service import installed_id
from backend.worker.ledger_sums import compare_ledgers
from tests.backend.credits.invariants import Invariants
from tests.faults.conftest import Measured
from tests.faults.postgres import durable_app, kill_outright
from tests.faults.web import WebProcess, running_web
from tests.faults.writers import PATIENCE, Ledger
from tests.flows.processes import expire_heartbeats, start_worker
from tests.prepaid_apps import SELLING
from tests.running_app import SHOP, RunningApp
from tests.wait import wait_until

WRITERS = 8
JOBS = int(os.environ.get("LEDGER_JOBS", "10"))  # of each writer
KILLS = int(os.environ.get("LEDGER_KILLS", "9"))
GRANTED = 1_000
GOOD_JOBS = 4  # for a product with a photo: these succeed, after seconds of rendering
MISSING = {"product_id": "gid://shopify/Product/1"}
UNFINISHED = "SELECT 1 FROM jobs WHERE status NOT IN ('SUCCESS', 'FAILURE') LIMIT 1"
ENDS = """
SELECT kind, count(*) AS n, coalesce(-sum(d_held), 0) AS credits FROM credit_entries
WHERE kind IN ('capture', 'release') GROUP BY kind
"""


class Victims:
    """The three processes that the credits depend on, each killed and started again."""

    def __init__(
        self, running_app: RunningApp, web: WebProcess, postgres: EmbeddedPostgres, log: Path
    ) -> None:
        self.running_app, self.web, self.postgres, self.log = running_app, web, postgres, log
        self.worker: asyncio.subprocess.Process | None = None

    async def start_worker(self) -> None:
        """Start one; the entries of a killed one are free at once."""
        await expire_heartbeats(self.running_app)
        self.worker = await start_worker(self.running_app, self.log)

    async def kill_worker(self) -> None:
        """Between any two statements."""
        assert self.worker is not None
        self.worker.kill()
        await self.worker.wait()
        await self.start_worker()

    async def kill_web(self) -> None:
        """Between an INSERT and its commit, or its answer."""
        await self.web.kill()
        await self.web.start()

    async def kill_postgres(self) -> None:
        """Between a commit and the answer to it, for all of them."""
        await asyncio.to_thread(kill_outright, self.postgres)
        await asyncio.to_thread(self.postgres.restart)


@pytest.mark.timeout(600)
@pytest.mark.promise("P60", "a killed process costs no credit", wanted="0 lost, 0 double")
@pytest.mark.promise("P61", "and every shop's ledger adds up", wanted="0 differences")
async def test_killing_anything_leaves_ledgers_that_add_up(
    services: LocalServices, renderer: Renderer, tmp_path: Path, record_promise: Measured
) -> None:
    async with (
        durable_app(services, renderer, **SELLING) as (
            running_app,
            postgres,
        ),
        running_web(running_app.settings, running_app.shopify.origin, tmp_path / "web") as web,
        victims(running_app, web, postgres, tmp_path / "worker") as killed,
    ):
        ledger = await killed_while_writing(running_app, killed, random.Random(5))
        await wait_until(lambda: has_ended(running_app), 300)
        await adds_up(running_app, ledger, record_promise)


@contextlib.asynccontextmanager
async def victims(
    running_app: RunningApp, web: WebProcess, postgres: EmbeddedPostgres, log: Path
) -> AsyncIterator[Victims]:
    """All three running, and a shop with credits."""
    await running_app.install()
    async with running_app.database.transaction(SHOP) as connection:
        shop_id = await installed_id(connection, SHOP)
        await grant_credits(
            connection, shop_id, source="pack", ref="1", amount=GRANTED, expires_at=None
        )
    found = Victims(running_app, web, postgres, log)
    await found.start_worker()
    try:
        yield found
    finally:
        assert found.worker is not None
        with contextlib.suppress(ProcessLookupError):
            found.worker.kill()
        await found.worker.wait()


async def killed_while_writing(
    running_app: RunningApp, killed: Victims, chance: random.Random
) -> Ledger:
    """Kill one of them after another while writers ask for jobs; what these were answered."""
    ledger = Ledger()
    good = {"product_id": running_app.product().gid}
    kills: list[Callable[[], Any]] = [killed.kill_worker, killed.kill_web, killed.kill_postgres]
    async with asyncio.TaskGroup() as group:
        writers = [
            group.create_task(
                ask_for_jobs(
                    running_app, killed.web.url, ledger, good if n < GOOD_JOBS else MISSING
                )
            )
            for n in range(WRITERS)
        ]
        for number in range(KILLS):
            wanted = (number + 1) * WRITERS * JOBS // (KILLS + 1)
            await wait_until(partial(has_accepted, ledger, wanted), 60, poll=0.005)
            await asyncio.sleep(chance.uniform(0, 0.5))
            await kills[number % len(kills)]()
        await asyncio.gather(*writers)
    return ledger


def has_accepted(ledger: Ledger, wanted: int) -> bool:
    """Whether so many jobs were accepted."""
    return len(ledger.accepted) >= wanted


async def ask_for_jobs(
    running_app: RunningApp, url: str, ledger: Ledger, first: dict[str, str]
) -> None:
    """So many jobs, the first one with that body; each with its key until it is accepted."""
    async with httpx.AsyncClient(base_url=url, timeout=PATIENCE, trust_env=False) as client:
        for number in range(JOBS):
            key, body = str(uuid.uuid4()), MISSING if number else first
            while not await ledger.ask(client, running_app.bearer(), key, body):
                await asyncio.sleep(0.05)


async def has_ended(running_app: RunningApp) -> bool:
    """Whether no job is left to work on."""
    with contextlib.suppress(DatabaseUnavailable):
        return not await running_app.rows(UNFINISHED)
    return False


async def adds_up(running_app: RunningApp, ledger: Ledger, record_promise: Measured) -> None:
    """Each accepted job has one hold and one end, and the balance is what is left of the grant."""
    await Invariants(running_app).hold()
    tally = await compare_ledgers(running_app.settings, running_app.database)
    held = await running_app.rows("SELECT job_id FROM credit_entries WHERE kind = 'hold'")
    holds = [row["job_id"] for row in held]
    ends = {row["kind"]: (row["n"], row["credits"]) for row in await running_app.rows(ENDS)}
    accepted = set(ledger.accepted.values())
    lost, more = accepted - set(holds), len(holds) - len(accepted)
    [account] = await running_app.rows("SELECT available, held FROM credit_accounts")
    record_promise(
        "P60",
        f"{len(lost)} of {len(accepted)} accepted jobs lost, {more} holds too many, in {KILLS} "
        f"kills of web, worker and Postgres; ends {ends}",
        not lost and not more and sum(number for number, _ in ends.values()) == len(holds),
    )
    record_promise(
        "P61",
        f"{tally.found} differences; {account['available']} of {GRANTED} credits left after "
        f"{ends['capture'][1]} captured, {account['held']} held",
        not tally.found
        and account["available"] == GRANTED - ends["capture"][1]
        and account["held"] == 0
        and {"capture", "release"} <= set(ends),
    )
