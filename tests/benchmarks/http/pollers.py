"""`make pollers`: five hundred pages poll their jobs with tags, while the jobs get on.

Each page polls one job every one to two seconds, over a connection that it keeps, and takes up
`Retry-After` when it is refused. Fifty events a second come through the product's own `advance`.
At the end everybody loses the connection at once and comes back at the same moment. What each
answer has to know at least is what had been committed when it was asked for: an older one, also a
304 that should have been a 200, counts as wrong. What the server holds, memory and files, is looked
at all the while: what it holds more with each minute, after the first fifth of the time, is a leak.
The last line is one JSON object.
"""

import argparse
import asyncio
import contextlib
import json
import random
import re
import statistics
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import msgspec

import migrations
from backend.db import Database
from backend.dev.services import EmbeddedPostgres
from backend.errors import DatabaseUnavailable
from backend.jobs.lifecycle import Checkpoint, JobLease, NewArtifact, advance, lease_job
from backend.jobs.service import request_job
from backend.tenancy import WORKER
from backend.workflows.catalog_image import CATALOG_IMAGE
from tests.benchmarks.http import asking, data
from tests.benchmarks.http.load import END_OF_HEAD, LENGTH, Outcome
from tests.benchmarks.http.servers import Server, server
from tests.benchmarks.running import settings

TAG = re.compile(rb"\r\netag: ([^\r]+)", re.IGNORECASE)
HINT = re.compile(rb"\r\nretry-after: (\d+)", re.IGNORECASE)
FRESH = 30.0  # seconds that a page uses a token, of the sixty that it lives
GIVE_UP = 10.0  # seconds that a page waits for an answer
GATHERING = 3.0  # seconds in which all pages are told to come back
PROBE = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
PROBED_EVERY = 0.05  # seconds
LOOKED_AT_EVERY = 1.0  # seconds
TOLD_EVERY = 60  # looks
WARM_UP = 0.2  # of the time
SERIES = 13  # moments at which the memory is printed; every 2.5 minutes of half an hour


@dataclass
class Herd:
    """What all pages share: what they are to find, and what they found.

    stale: how many of the wrong answers were older than what had been committed.
    """

    client: asking.Client
    port: int
    committed: dict[str, int] = field(default_factory=dict)  # the last event of each job
    statuses: Counter[int] = field(default_factory=Counter)
    hints: list[int] = field(default_factory=list)
    polls: Outcome = field(default_factory=Outcome)
    returns: Outcome = field(default_factory=Outcome)
    stale: int = 0


@dataclass(frozen=True)
class Held:
    """What the server held at a moment: memory, and open files."""

    at: float
    mb: float
    files: int


class Page:
    """One page that is open on one job."""

    def __init__(self, herd: Herd, shop: str, job: str) -> None:
        self.herd, self.shop, self.job = herd, shop, job
        self.tag, self.seq = b"", 0
        self.signed_at = -FRESH
        self.wire: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def poll_for(self, seconds: float, *, every: tuple[float, float]) -> None:
        """Ask again and again; the first time at a moment of its own."""
        deadline = time.monotonic() + seconds
        wait = random.uniform(0, every[1])
        while time.monotonic() + wait < deadline:
            await asyncio.sleep(wait)
            refused_for = await self.ask(self.herd.polls)
            wait = max(random.uniform(*every), refused_for)

    async def ask(self, outcome: Outcome) -> float:
        """One poll; for how long it was refused, if it was."""
        due = self.herd.committed[self.job]
        request = self.request()
        asked_at = time.perf_counter()
        try:
            async with asyncio.timeout(GIVE_UP):
                head, body = await self.exchanged(request)
        except (OSError, EOFError):  # a time-out is an OSError
            self.hang_up()
            outcome.wrong += 1
            return 0.0
        outcome.latencies.append(time.perf_counter() - asked_at)
        status = int(head[9:12])
        self.herd.statuses[status] += 1
        hint = HINT.search(head)
        if status in {200, 304}:
            self.herd.hints += [int(hint[1])] if hint else []
            is_stale = not self.knows(due, status, head, body)
            self.herd.stale += is_stale
            outcome.wrong += is_stale
            return 0.0
        outcome.wrong += 1
        return float(hint[1]) if hint else 0.0

    def knows(self, due: int, status: int, head: bytes, body: bytes) -> bool:
        """Whether the page now knows the job at least as far as `due`."""
        if status == 200:
            told = msgspec.json.decode(body)
            tag = TAG.search(head)
            self.tag, self.seq = tag[1] if tag else b"", told["latest_event"]["seq"]
            return told["public_id"] == self.job and self.seq >= due
        return self.seq >= due

    def request(self) -> bytes:
        """The poll as bytes, with a token that is still good."""
        now = time.monotonic()
        if now - self.signed_at > FRESH:
            self.token, self.signed_at = self.herd.client.token(self.shop), now
        tag = f"If-None-Match: {self.tag.decode()}\r\n" if self.tag else ""
        return asking.get(f"/v1/jobs/{self.job}", tag + asking.CREDENTIALS.format(token=self.token))

    async def exchanged(self, request: bytes) -> tuple[bytes, bytes]:
        """The answer to a request, on the connection that is there or a new one."""
        if self.wire is None:
            self.wire = await asyncio.open_connection("127.0.0.1", self.herd.port)
        return await answer_to(request, *self.wire)

    def hang_up(self) -> None:
        """Lose the connection."""
        if self.wire is not None:
            self.wire[1].transport.abort()
            self.wire = None


async def answer_to(
    request: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> tuple[bytes, bytes]:
    """Head and body of the answer."""
    writer.write(request)
    head = await reader.readuntil(END_OF_HEAD)
    length = LENGTH.search(head)
    return head, await reader.readexactly(int(length[1])) if length else b""


async def main() -> int:
    """Let them poll, print, and say by the exit code whether every answer was right."""
    asked = arguments()
    async with AsyncExitStack() as stack:
        postgres = EmbeddedPostgres()
        stack.callback(postgres.stop)
        await asyncio.to_thread(postgres.start)
        await asyncio.to_thread(migrations.upgrade, postgres.url())
        await data.fill(postgres.url(), asked.jobs)
        environment = settings(postgres.url())
        running = await stack.enter_async_context(server("ours", environment))
        database = Database(postgres.url(), role=WORKER)
        stack.push_async_callback(database.close)
        claims = await begun_jobs(database, postgres.url(), asked.pollers)
        herd = Herd(client=asking.Client([], environment), port=running.port)
        herd.committed = {each.ref.public_id: 1 for each in claims}
        pages = [Page(herd, each.shop_domain, each.ref.public_id) for each in claims]
        figures = await observed(herd, pages, claims, database, running, asked)
    print(json.dumps(figures))
    return 1 if figures["wrong_answers"] else 0


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(prog="make pollers", description=__doc__)
    parser.add_argument("--pollers", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--updates", type=float, default=50.0, help="events a second")
    parser.add_argument("--every", type=float, nargs=2, default=[1.0, 2.0], help="seconds")
    parser.add_argument("--returns", type=int, default=5, help="how often all come back at once")
    parser.add_argument("--jobs", type=int, default=10_000, help="others in the database")
    return parser.parse_args()


async def begun_jobs(database: Database, url: str, count: int) -> list[JobLease]:
    """Jobs that a worker has claimed, spread over the shops."""
    connection = await asyncpg.connect(url)
    shops = [row["id"] for row in await connection.fetch("SELECT id FROM shops")]
    await connection.close()
    claims = []
    for number in range(count):
        async with database.transaction() as transaction:
            ref = await request_job(
                transaction,
                CATALOG_IMAGE,
                shop_id=shops[number % len(shops)],
                request={"product_id": f"gid://shopify/Product/{number}"},
                origin="webhook",
            )
            assert ref is not None
            begun = await lease_job(transaction, ref)
            assert begun is not None
            claims.append(begun)
    return claims


async def observed(
    herd: Herd,
    pages: list[Page],
    claims: list[JobLease],
    database: Database,
    running: Server,
    asked: argparse.Namespace,
) -> dict[str, object]:
    """The herd's minute, its returns, and the figures of both."""
    probes = Outcome()
    late: list[float] = []
    held: list[Held] = []
    async with background(get_on(herd, claims, database, asked.updates)):
        await asyncio.gather(*(page.ask(Outcome()) for page in pages))  # every page is opened
        herd.statuses.clear()
        cpu, started, events = running.cpu_seconds, time.monotonic(), sum(herd.committed.values())
        async with background(probe(running.port, probes), own_lag(late), look(running, held)):
            every = (asked.every[0], asked.every[1])
            await asyncio.gather(*(page.poll_for(asked.seconds, every=every) for page in pages))
        took, cpu = time.monotonic() - started, running.cpu_seconds - cpu
        shares, events = dict(herd.statuses), sum(herd.committed.values()) - events
        for _ in range(asked.returns):
            await come_back(herd, pages)
    polls = len(herd.polls.latencies)
    return {
        "pollers": len(pages),
        "seconds": round(took),
        "polls_per_second": round(polls / took, 1),
        "events_per_second": round(events / took, 1),
        "p50_ms": round(herd.polls.quantile(0.5), 1),
        "p99_ms": round(herd.polls.quantile(0.99), 1),
        "max_ms": round(herd.polls.quantile(1.0), 1),
        "share_of_304": round(shares.get(304, 0) / polls, 3),
        "statuses": {str(status): count for status, count in sorted(shares.items())},
        "return_p50_ms": round(herd.returns.quantile(0.5), 1),
        "return_p99_ms": round(herd.returns.quantile(0.99), 1),
        "return_max_ms": round(herd.returns.quantile(1.0), 1),
        "live_p50_ms": round(probes.quantile(0.5), 1),
        "live_p99_ms": round(probes.quantile(0.99), 1),
        "client_lag_p99_ms": round(sorted(late)[int(len(late) * 0.99)] * 1000, 1),
        "server_cores": round(cpu / took, 2),
        "server_memory_mb": round(running.memory_mb),
        "server_memory_series_mb": series(held),
        "server_memory_mb_per_minute": round(growth(held, after=WARM_UP), 3),
        "server_memory_mb_per_minute_last_third": round(growth(held, after=2 / 3), 3),
        "server_files": [held[int(len(held) * WARM_UP)].files, held[-1].files],
        "hinted_seconds": round(sum(herd.hints) / max(len(herd.hints), 1), 1),
        "stale_answers": herd.stale,
        "wrong_answers": herd.polls.wrong + herd.returns.wrong + probes.wrong,
    }


async def get_on(herd: Herd, claims: list[JobLease], database: Database, rate: float) -> None:
    """Jobs reach their next stage, `rate` a second in all, each once before any does again."""
    started, made = time.monotonic(), 0
    async with asyncio.TaskGroup() as workers:
        while True:
            for claimed in random.sample(claims, len(claims)):
                made += 1
                await asyncio.sleep(max(started + made / rate - time.monotonic(), 0))
                workers.create_task(next_stage(herd, claimed, database, made))


async def next_stage(herd: Herd, claimed: JobLease, database: Database, number: int) -> None:
    """Record a stage and its picture, as a worker does."""
    job = claimed.ref.public_id
    picture = NewArtifact(
        name="picture",
        role="intermediate",
        kind="catalog_image",
        label=None,
        key=f"artifacts/{job}-{number}.png",
        meta={"content_type": "image/png", "width": 2048, "height": 2048},
    )
    with contextlib.suppress(DatabaseUnavailable):  # a worker would come again
        async with database.transaction() as connection:
            await advance(
                connection,
                claimed,
                stage=f"stage-{number}",
                message=f"Made stage {number}",
                progress={"progress": {"done": 1, "total": 5}},
                checkpoint=Checkpoint(files={"picture": picture.key}, facts={}),
                artifacts=[picture],
            )
        herd.committed[job] += 1


async def come_back(herd: Herd, pages: list[Page]) -> None:
    """Everybody loses the connection, and asks again on a new one at the same moment."""
    for page in pages:
        page.hang_up()
    await asyncio.sleep(GATHERING)  # the server sees them go
    await asyncio.gather(*(page.ask(herd.returns) for page in pages))


async def probe(port: int, outcome: Outcome) -> None:
    """How long a route that does nothing waits: about as long as the server's loop is busy."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while True:
        await asyncio.sleep(PROBED_EVERY)
        asked_at = time.perf_counter()
        head, _ = await answer_to(PROBE, reader, writer)
        outcome.latencies.append(time.perf_counter() - asked_at)
        outcome.wrong += int(head[9:12]) != 200


async def look(running: Server, held: list[Held]) -> None:
    """What the server holds, again and again; said each minute, in case the run is cut short."""
    while True:
        held.append(Held(time.monotonic(), running.memory_mb, running.files))
        if len(held) % TOLD_EVERY == 1:
            print(f"{held[-1].at - held[0].at:5.0f} s  {held[-1].mb:.1f} MB", file=sys.stderr)
        await asyncio.sleep(LOOKED_AT_EVERY)


def series(held: list[Held]) -> list[float]:
    """The memory at `SERIES` moments, the first and the last ones included."""
    moments = (number * (len(held) - 1) // (SERIES - 1) for number in range(SERIES))
    return [round(held[moment].mb, 1) for moment in moments]


def growth(held: list[Held], *, after: float) -> float:
    """The slope of the memory after this share of the time, in MB a minute."""
    late = held[int(len(held) * after) :]
    slope, _ = statistics.linear_regression([each.at for each in late], [each.mb for each in late])
    return slope * 60


async def own_lag(late: list[float]) -> None:
    """How late this process' own loop is: it is in every latency that is measured here."""
    while True:
        due = time.perf_counter() + PROBED_EVERY
        await asyncio.sleep(PROBED_EVERY)
        late.append(time.perf_counter() - due)


@contextlib.asynccontextmanager
async def background(*work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Work that goes on until the block ends. Raises what it raised before."""
    tasks = [asyncio.create_task(each) for each in work]
    try:
        yield
    finally:
        ended = [task for task in tasks if task.done()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in ended:
        task.result()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
