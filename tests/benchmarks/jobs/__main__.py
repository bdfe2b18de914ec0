"""`make benchjobs`: workers drain the same queue in turn; the last line is one JSON object.

Rounds are interleaved, so that a machine that drifts drifts for all, and a figure is the median of
the rounds' ratios. Every run's workers first do a little work, whose results are looked at before
anything is timed; what is not as it should be in the timed work is counted.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack

import asyncpg

import migrations
from backend.db import Database
from backend.dev.services import EmbeddedPostgres
from backend.tenancy import WORKER
from tests.benchmarks.jobs import work
from tests.benchmarks.jobs.measuring import JobRun, Run, drained, picked_up, transactions
from tests.benchmarks.running import Running, settings, turned


async def main() -> int:
    """Measure, print, and say by the exit code whether all work was done as it should be."""
    asked = arguments()
    say = print if sys.stderr.isatty() or asked.verbose else (lambda *_words, **_how: None)
    async with AsyncExitStack() as stack:
        postgres = EmbeddedPostgres()
        stack.callback(postgres.stop)
        await asyncio.to_thread(postgres.start)
        await asyncio.to_thread(migrations.upgrade, postgres.url())
        bench = JobRun(
            postgres=Running(name="postgres", pid=postgres.pid),
            environment=settings(postgres.url()),
            slots=asked.slots,
            log=asked.log,
        )
        connection = await asyncpg.connect(postgres.url())
        await connection.execute(work.MAKE_SHOPS, work.SHOPS)
        await connection.close()
        if asked.billing == "manual":
            await fund(postgres.url())
        figures: dict[str, object] = {"jobs": asked.jobs, "slots": asked.slots}
        wrong = 0
        if "rates" in asked.parts:
            runs = await rounds(bench, asked, say)
            figures |= {"rounds": asked.rounds, **summary(runs)}
            wrong += sum(run.wrong for found in runs.values() for run in found)
        if "latency" in asked.parts:
            say("Dropping jobs in one by one …", file=sys.stderr)
            latencies, missed = await picked_up(bench, asked.dropped)
            figures |= {
                "pickup_p50_ms": round(statistics.median(latencies), 1),
                "pickup_p99_ms": round(statistics.quantiles(latencies, n=100)[98], 1),
            }
            wrong += missed
        if "transactions" in asked.parts:
            say("Counting transactions …", file=sys.stderr)
            for name in ("ours", "pgqueuer"):
                count, missed = await transactions(bench, name, asked.jobs)
                figures[f"transactions.{name}"] = round(count, 2)
                wrong += missed
    print(json.dumps({**figures, "wrong": wrong}))
    return 1 if wrong else 0


async def fund(url: str) -> None:
    """Give the shops credits for the jobs that cost some."""
    database = Database(url, role=WORKER, pool_size=1)
    try:
        await work.fund(database)
    finally:
        await database.close()


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(prog="make benchjobs", description=__doc__)
    parser.add_argument("--jobs", type=int, default=1_500, help="of each run")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--slots", type=int, default=2, help="of each worker")
    parser.add_argument("--dropped", type=int, default=120, help="jobs dropped in one by one")
    parts = ("rates", "latency", "transactions")
    parser.add_argument("--parts", nargs="+", choices=parts, default=parts)
    names = tuple(name for name in CONTENDERS if name != "charged")
    parser.add_argument("--contenders", nargs="+", choices=names, default=names)
    parser.add_argument(
        "--billing",
        choices=("none", "manual"),
        default="none",
        help="manual: also drain jobs that are paid with credits, in the same rounds",
    )
    parser.add_argument("--log", default=os.devnull, help="a file for what the workers log")
    parser.add_argument("--verbose", action="store_true")
    return parser.parse_args()


# Who works, how many of them, and on how large a share of `--jobs`.
CONTENDERS = {
    "pgqueuer": ("pgqueuer", 1, 1.0),
    "ours": ("ours", 1, 1.0),
    "ours_two": ("ours", 2, 1.0),
    "waiting": ("waiting", 1, 0.1),
    "waiting_two": ("waiting", 2, 0.1),
    "charged": ("charged", 1, 1.0),  # with `--billing manual`
}
RATIOS = {
    "jobs_vs_pgqueuer": ("ours", "pgqueuer"),
    "two_workers_vs_one": ("ours_two", "ours"),
    "two_waiting_workers_vs_one": ("waiting_two", "waiting"),
    "charged_vs_free": ("charged", "ours"),
}


async def rounds(
    bench: JobRun, asked: argparse.Namespace, say: Callable[..., None]
) -> dict[str, list[Run]]:
    """Everybody in turn, so often."""
    runs: dict[str, list[Run]] = {}
    names = (*asked.contenders, *(("charged",) if asked.billing == "manual" else ()))
    for number in range(1, asked.rounds + 1):
        for name in turned(names, number):
            kind, workers, share = CONTENDERS[name]
            run = await drained(bench, kind, workers=workers, count=int(asked.jobs * share))
            runs.setdefault(name, []).append(run)
            say(f"  {name}: {run.rate:.0f}/s", file=sys.stderr)
        say(f"Round {number} of {asked.rounds}", file=sys.stderr)
    return runs


def summary(runs: dict[str, list[Run]]) -> dict[str, object]:
    """The figures: medians over the rounds."""
    figures: dict[str, object] = {
        figure: ratio(runs[one], runs[other])
        for figure, (one, other) in RATIOS.items()
        if one in runs and other in runs
    }
    for name, found in runs.items():
        figures[name] = {
            "per_second": round(statistics.median(run.rate for run in found)),
            "per_cpu_second": round(statistics.median(run.per_cpu_second for run in found)),
            "postgres_ms": round(statistics.median(run.postgres_ms for run in found), 2),
            "memory_mb": round(max(run.memory_mb for run in found)),
        }
    return figures


def ratio(ours: list[Run], others: list[Run]) -> float:
    """How many times as fast, round by round."""
    pairs = zip(ours, others, strict=True)
    return round(statistics.median(mine.rate / theirs.rate for mine, theirs in pairs), 3)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
