"""`make bench`: three servers, the same work, in turn; the last line is one JSON object.

Rounds are interleaved, so that a machine that drifts drifts for all, and a figure is the median of
the rounds' ratios. Answers are compared before anything is timed, and every answer that is not as
it should be is counted.
"""

import argparse
import asyncio
import json
import statistics
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack

import migrations
from backend.dev.services import EmbeddedPostgres
from tests.benchmarks.http import asking, data
from tests.benchmarks.http.comparing import compare_answers
from tests.benchmarks.http.load import Outcome, load
from tests.benchmarks.http.servers import Server, server
from tests.benchmarks.running import settings, turned

SERVERS = ("ours", "peer", "bare")
# What is asked of whom: the work's name, and the servers that can do it.
WORK = {
    "detail": ("ours", "peer", "bare"),
    "detail_304": ("ours", "bare"),
    "events": ("ours", "bare"),
    "review": ("ours", "bare"),
    "webhook": ("ours", "bare"),
}
WARM_UP = 1.0  # seconds

Runs = dict[tuple[str, str, int], list["Run"]]


class Run:
    """One server at one kind of work for a while, and what it took of the processor."""

    def __init__(self, outcome: Outcome, cpu_seconds: float, memory_mb: float) -> None:
        self.rate = outcome.rate
        self.p50, self.p99 = outcome.quantile(0.5), outcome.quantile(0.99)
        self.wrong = outcome.wrong
        self.per_cpu_second = (len(outcome.latencies) - outcome.wrong) / max(cpu_seconds, 0.01)
        self.memory_mb = memory_mb


async def main() -> int:
    """Measure, print, and say by the exit code whether every answer was as it should be."""
    asked = arguments()
    say = print if sys.stderr.isatty() or asked.verbose else (lambda *_words, **_how: None)
    async with AsyncExitStack() as stack:
        postgres = EmbeddedPostgres()
        stack.callback(postgres.stop)
        await asyncio.to_thread(postgres.start)
        environment = settings(postgres.url())
        await asyncio.to_thread(migrations.upgrade, postgres.url())
        say(f"Making {asked.jobs:,} jobs …", file=sys.stderr)
        await data.fill(postgres.url(), asked.jobs)
        jobs = await data.some_jobs(postgres.url(), asked.sample)
        running = {
            name: [
                await stack.enter_async_context(server(name, environment))
                for _ in range(asked.processes)
            ]
            for name in SERVERS
        }
        client = asking.Client(jobs, environment)
        await compare_answers({name: each[0] for name, each in running.items()}, client)
        runs = await rounds(running, client, asked, say)
    figures = summary(runs, asked)
    print(json.dumps(figures))
    return 1 if figures["wrong_answers"] else 0


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--sample", type=int, default=2_000, help="jobs that are asked for")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each run")
    parser.add_argument("--connections", type=int, nargs="+", default=[16, 256])
    parser.add_argument("--processes", type=int, default=1, help="of each server")
    parser.add_argument("--work", nargs="+", choices=WORK, default=list(WORK))
    parser.add_argument("--verbose", action="store_true")
    return parser.parse_args()


async def rounds(
    running: dict[str, list[Server]],
    client: asking.Client,
    asked: argparse.Namespace,
    say: Callable[..., None],
) -> Runs:
    """Every server at every work, in turn, so often; the first time only to get warm."""
    runs: Runs = {}
    for number in range(asked.rounds + 1):
        for work in asked.work:
            for connections in asked.connections:
                for name in turned(WORK[work], number):
                    run = await measured(
                        running[name],
                        client,
                        work,
                        connections=connections,
                        seconds=asked.seconds if number else WARM_UP,
                    )
                    if number:
                        runs.setdefault((work, name, connections), []).append(run)
        say(f"Round {number} of {asked.rounds}", file=sys.stderr)
    return runs


async def measured(
    of: list[Server], client: asking.Client, work: str, *, connections: int, seconds: float
) -> Run:
    """One run, of all processes of a server."""
    tag = ""
    if work == "detail_304":
        if asking.seconds_left() < seconds + 2:
            await asyncio.sleep(seconds + 2)
        tag = await asking.current_tag(of[0], client)
    requests = client.requests(work, of[0].name, tag=tag)
    before = sum(each.cpu_seconds for each in of)
    outcome = await load(
        [each.port for each in of],
        requests,
        connections=connections,
        seconds=seconds,
        status=304 if work == "detail_304" else 200,
    )
    cpu_seconds = sum(each.cpu_seconds for each in of) - before
    return Run(outcome, cpu_seconds, max(each.memory_mb for each in of))


def summary(runs: Runs, asked: argparse.Namespace) -> dict[str, object]:
    """The figures: medians over the rounds."""
    figures: dict[str, object] = {
        "jobs": asked.jobs,
        "rounds": asked.rounds,
        "processes": asked.processes,
    }
    first = asked.connections[0]
    for work in asked.work:
        for other in ("peer", "bare"):
            if (work, other, first) in runs:
                figures[f"{work}_vs_{other}"] = ratio(runs, work, other, first)
    for (work, name, connections), found in runs.items():
        figures[f"{work}.{name}.{connections}"] = {
            "per_second": round(statistics.median(run.rate for run in found)),
            "per_cpu_second": round(statistics.median(run.per_cpu_second for run in found)),
            "p50_ms": round(statistics.median(run.p50 for run in found), 2),
            "p99_ms": round(statistics.median(run.p99 for run in found), 2),
            "memory_mb": round(max(run.memory_mb for run in found)),
        }
    figures["wrong_answers"] = sum(run.wrong for found in runs.values() for run in found)
    return figures


def ratio(runs: Runs, work: str, other: str, connections: int) -> float:
    """How many times as fast we are, round by round."""
    pairs = zip(runs[work, "ours", connections], runs[work, other, connections], strict=True)
    return round(statistics.median(ours.rate / theirs.rate for ours, theirs in pairs), 3)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
