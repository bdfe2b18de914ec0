"""`make growth`: the same job detail at 1,000, 100,000 and 2,000,000 jobs in one database.

The sizes come one after the other, and the machine drifts meanwhile. So each is measured in turns
with a reference that does not grow: a second server on a second database of 1,000 jobs in the same
Postgres. The turns are short, and a size's figure is the median of the rounds' ratios to the
reference; at 1,000 jobs it says how much of the rest is noise. The bare statement changes sides
with each time it is run. The last line is one JSON object.

`detail` asks for ids uniformly over all that is there, hardly one of them twice: the worst for
every cache, with the whole database as the working set. `open_pages` asks for the same thousand of
them again and again. `unread_detail` asks for the same ids as `detail`, but of servers that keep no
bodies and no URLs: does a detail cost more among more jobs, if no cache makes the difference?
"""

import argparse
import asyncio
import itertools
import json
import random
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import asyncpg
import httpx

import migrations
from backend.dev.services import EmbeddedPostgres
from backend.jobs import queries
from tests.benchmarks.http import asking, data
from tests.benchmarks.http.load import Outcome, load
from tests.benchmarks.http.servers import Server, server
from tests.benchmarks.running import settings

SIZES = (1_000, 100_000, 2_000_000)
CHECKED = 25  # answers at each size before anything is timed
OPEN = 1_000  # jobs whose pages are open
SAMPLE = 100_000  # jobs that are asked for in turn; more than there are requests in a size's runs
A_RUN = 2_500  # more than a run asks for
STATEMENTS = 1_000  # of a round
WORK = ("detail", "open_pages", "unread_detail", "statement")

Figures = dict[str, dict[str, float]]


@dataclass
class SharedApp:
    """A database, the servers on it, and which of its jobs to ask for."""

    url: str
    server: Server
    uncached: Server
    environment: dict[str, str] = field(repr=False)  # holds secrets
    everywhere: Iterator[tuple[str, str]] = field(init=False)
    open_pages: list[tuple[str, str]] = field(init=False)

    async def look_around(self) -> None:
        """Draw the jobs anew, from all that are there now."""
        sample = await data.some_jobs(self.url, SAMPLE)
        self.open_pages = sample[:OPEN]
        self.everywhere = itertools.cycle(sample)

    def jobs(self, work: str, count: int) -> list[tuple[str, str]]:
        """The next jobs to ask for."""
        if work == "open_pages":
            return random.sample(self.open_pages, len(self.open_pages))
        return list(itertools.islice(self.everywhere, count))


@dataclass
class Run:
    """What came of a while of one kind of work at one house."""

    rate: float
    p50: float
    p99: float
    wrong: int
    cpu_ms: float  # of the server's process, for each answer


async def main() -> int:
    """Measure, print, and say by the exit code whether every answer was as it should be."""
    asked = arguments()
    async with AsyncExitStack() as stack:
        postgres = EmbeddedPostgres()
        stack.callback(postgres.stop)
        await asyncio.to_thread(postgres.start)
        await execute(postgres.url(), "ALTER SYSTEM SET max_wal_size = '8GB'")  # for the filling
        await execute(postgres.url(), "SELECT pg_reload_conf()")
        growing = await populated_app(stack, postgres, "growing")
        reference = await populated_app(stack, postgres, "reference")
        await fill(reference, asked.sizes[0], start=0)
        found: dict[int, Figures] = {}
        start = 0
        for size in asked.sizes:
            took = await fill(growing, size, start=start)
            found[size] = await measured(growing, reference, asked)
            found[size]["data"] = {"filled_in_s": round(took), "gb": await gigabytes(growing.url)}
            start = size
            print(f"{size:,} jobs: {json.dumps(found[size])}", file=sys.stderr, flush=True)
    figures = summary(found)
    print(json.dumps(figures))
    return 1 if figures["wrong_answers"] else 0


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(prog="make growth", description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--seconds", type=float, default=0.5, help="of each run")
    parser.add_argument("--connections", type=int, default=16)
    return parser.parse_args()


async def populated_app(stack: AsyncExitStack, postgres: EmbeddedPostgres, name: str) -> SharedApp:
    """A migrated database without jobs, and `atelier serve` on it, with and without its cache."""
    await execute(postgres.url(), f"CREATE DATABASE {name}")
    url = postgres.url(name)
    await asyncio.to_thread(migrations.upgrade, url)
    environment = settings(url)
    ours, uncached = [
        await stack.enter_async_context(server(each, environment)) for each in ("ours", "uncached")
    ]
    return SharedApp(url=url, server=ours, uncached=uncached, environment=environment)


async def execute(url: str, sql: str) -> None:
    """Run one statement."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()


async def fill(shared_app: SharedApp, jobs: int, *, start: int) -> float:
    """Let the house grow; the seconds it took."""
    started = time.monotonic()
    await data.fill(shared_app.url, jobs, start=start)
    await shared_app.look_around()
    return time.monotonic() - started


async def gigabytes(url: str) -> float:
    """What the database occupies."""
    connection = await asyncpg.connect(url)
    try:
        size = await connection.fetchval("SELECT pg_database_size(current_database())")
        return round(int(size) / 1e9, 2)
    finally:
        await connection.close()


async def measured(growing: SharedApp, reference: SharedApp, asked: argparse.Namespace) -> Figures:
    """The figures of the size that the growing house has now."""
    shared_apps = (growing, reference)
    for shared_app in shared_apps:
        await check_answers(shared_app)
    runs: dict[tuple[str, int], list[Run]] = {}
    for number in range(asked.rounds + 1):  # the first only to get warm
        for work in WORK:
            if work == "statement":
                found = await statements(growing, reference)
            else:
                turns = (0, 1) if number % 2 else (1, 0)
                found = {which: await one_run(shared_apps[which], work, asked) for which in turns}
            if number:
                for which, run in found.items():
                    runs.setdefault((work, which), []).append(run)
    figures = {work: compared(runs[work, 0], runs[work, 1]) for work in WORK}
    figures["statement"]["pages"] = await pages(growing)
    return figures


async def check_answers(shared_app: SharedApp) -> None:
    """Raise `AssertionError` unless details are what was filled in."""
    jobs = shared_app.jobs("detail", CHECKED)
    client = asking.Client(jobs, shared_app.environment)
    ports = itertools.cycle((shared_app.server.port, shared_app.uncached.port))
    async with httpx.AsyncClient(timeout=60) as http:  # the servers may still be starting
        for (shop, job), port in zip(jobs, ports, strict=False):
            key = {"Authorization": f"Bearer {client.token(shop)}"}
            answer = (await http.get(f"http://127.0.0.1:{port}/v1/jobs/{job}", headers=key)).json()
            assert answer["public_id"] == job, answer
            assert len(answer["result"]) == data.FINALS
            assert answer["latest_event"]["seq"] == data.EVENTS


async def one_run(shared_app: SharedApp, work: str, asked: argparse.Namespace) -> Run:
    """Ask one house for a while."""
    client = asking.Client(shared_app.jobs(work, A_RUN), shared_app.environment)
    asked_server = shared_app.uncached if work == "unread_detail" else shared_app.server
    before = asked_server.cpu_seconds
    outcome = await load(
        [asked_server.port],
        client.requests("detail", "ours"),
        connections=asked.connections,
        seconds=asked.seconds,
    )
    return run_of(outcome, outcome.rate, asked_server.cpu_seconds - before)


async def statements(*shared_apps: SharedApp, role: str = "none") -> dict[int, Run]:
    """The bare statement on one connection of asyncpg's to each house, in turn each time."""
    outcomes = [Outcome() for _ in shared_apps]
    as_ = {"role": role}
    connections = [
        await asyncpg.connect(shared_app.url, server_settings=as_) for shared_app in shared_apps
    ]
    try:
        prepared = [await each.prepare(queries.ONE_DETAIL.sql) for each in connections]
        given = [
            arguments_of(shared_app.jobs("statement", STATEMENTS)) for shared_app in shared_apps
        ]
        for turns in range(STATEMENTS):
            for outcome, statement, arguments in zip(outcomes, prepared, given, strict=True):
                asked_at = time.perf_counter()
                row = await statement.fetchrow(*arguments[turns % len(arguments)])
                outcome.latencies.append(time.perf_counter() - asked_at)
                outcome.wrong += row is None or row["artifacts"].count('"key"') != data.FINALS
    finally:
        for connection in connections:
            await connection.close()
    return {
        which: run_of(outcome, 1 / statistics.median(outcome.latencies), 0.0)
        for which, outcome in enumerate(outcomes)
    }


def run_of(outcome: Outcome, rate: float, cpu_seconds: float) -> Run:
    """The figures of a run; without `cpu_seconds` of a server there was none."""
    good = len(outcome.latencies) - outcome.wrong
    return Run(
        rate=rate,
        p50=outcome.quantile(0.5),
        p99=outcome.quantile(0.99),
        wrong=outcome.wrong,
        cpu_ms=cpu_seconds / good * 1000,
    )


def arguments_of(jobs: list[tuple[str, str]]) -> list[list[object]]:
    """What the statement takes for each job."""
    return [
        queries.ONE_DETAIL.arguments({"shop_domain": shop, "public_id": job}) for shop, job in jobs
    ]


async def pages(shared_app: SharedApp) -> float:
    """How many of Postgres' pages one statement looks at, on average: no clock is in it."""
    connection = await asyncpg.connect(shared_app.url)
    seen: list[int] = []
    try:
        for given in arguments_of(shared_app.jobs("statement", STATEMENTS // 4)):
            told = await connection.fetchval(
                f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {queries.ONE_DETAIL.sql}", *given
            )
            plan = json.loads(told)[0]["Plan"]
            seen.append(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])
    finally:
        await connection.close()
    return round(statistics.mean(seen), 1)


def compared(growing: list[Run], reference: list[Run]) -> dict[str, float]:
    """The medians, and how fast the growing house was for each that the reference did."""
    ratios = [ours.rate / theirs.rate for ours, theirs in zip(growing, reference, strict=True)]
    return {
        "against_reference": round(statistics.median(ratios), 3),
        "per_second": round(statistics.median(run.rate for run in growing)),
        "reference_per_second": round(statistics.median(run.rate for run in reference)),
        "cpu_ms": round(statistics.mean(run.cpu_ms for run in growing), 3),
        "reference_cpu_ms": round(statistics.mean(run.cpu_ms for run in reference), 3),
        "p50_ms": round(statistics.median(run.p50 for run in growing), 2),
        "p99_ms": round(statistics.median(run.p99 for run in growing), 2),
        "wrong": sum(run.wrong for run in (*growing, *reference)),
    }


def summary(found: dict[int, Figures]) -> dict[str, object]:
    """The figures by size, and for each work how far apart its fastest and slowest sizes are."""
    figures: dict[str, object] = {}
    for work in WORK:
        shares = [sizes[work]["against_reference"] for sizes in found.values()]
        figures[f"{work}_growth"] = round(max(shares) / min(shares), 3)
    figures |= {f"{size}": sizes for size, sizes in found.items()}
    figures["wrong_answers"] = sum(
        sizes[work]["wrong"] for sizes in found.values() for work in WORK
    )
    return figures


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
