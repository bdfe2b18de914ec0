"""kill -9 of Postgres under eight writers: what was acknowledged is there, and nothing hangs."""

import asyncio
import os
import random
import time
from pathlib import Path

import pytest

from backend.dev.services import EmbeddedPostgres, LocalServices
from backend.renderers.base import Renderer
from tests.faults.conftest import Measured
from tests.faults.postgres import durable_app, kill_outright
from tests.faults.web import running_web
from tests.faults.writers import Ledger, complete_jobs, writer
from tests.wait import wait_until

KILLS = int(os.environ.get("POSTGRES_KILLS", "20"))
WRITERS = 8


@pytest.mark.timeout(300)
@pytest.mark.promise("P9", "an accepted job survives kill -9 of Postgres", wanted="0 lost")
@pytest.mark.promise(
    "P21", "a killed database is an honest 503, and heals", wanted="only 202 and 503, 6 s, 5 s"
)
async def test_killing_postgres_loses_no_acknowledged_job(
    services: LocalServices, renderer: Renderer, tmp_path: Path, record_promise: Measured
) -> None:
    async with durable_app(services, renderer) as (running_app, server):
        await running_app.install()
        ledger, stop = Ledger(), asyncio.Event()
        async with (
            running_web(
                running_app.settings, running_app.shopify.origin, tmp_path / "log"
            ) as served,
            asyncio.TaskGroup() as group,
        ):
            for _ in range(WRITERS):
                group.create_task(writer(running_app, served.url, ledger, stop))
            healed = [await seconds_to_recover(server, ledger) for _ in range(KILLS)]
            stop.set()
            assert served.process is not None and served.process.returncode is None
        stored = await complete_jobs(running_app)
    lost = set(ledger.accepted.values()) - stored
    record_promise(
        "P9",
        f"{len(lost)} of {len(ledger.accepted):,} acknowledged lost in {KILLS} kills",
        len(ledger.accepted) > KILLS * WRITERS and not lost,
    )
    record_promise(
        "P21",
        f"answers {dict(ledger.statuses)}, slowest {ledger.slowest:.1f} s, "
        f"first success ≤ {max(healed):.1f} s after Postgres was back, without a restart",
        ledger.is_honest() and ledger.slowest <= 6 and max(healed) <= 5,
    )
    assert len(set(ledger.accepted.values())) == len(ledger.accepted), "two keys, one job"


async def seconds_to_recover(server: EmbeddedPostgres, ledger: Ledger) -> float:
    """Kill it under load, start it again, and wait until a writer is answered; the seconds."""
    wanted = len(ledger.accepted) + random.randint(WRITERS, 12 * WRITERS)
    await wait_until(lambda: len(ledger.accepted) >= wanted, 20, poll=0.005)
    await asyncio.to_thread(kill_outright, server)
    await asyncio.sleep(0.3)  # some meet nothing at all
    await asyncio.to_thread(server.restart)
    back_at = time.monotonic()
    await wait_until(lambda: ledger.accepted_at >= back_at, 20)
    return ledger.accepted_at - back_at
