"""`python -m tests.benchmarks.start`: how soon the processes of a deployment work.

`serve`: from its start to the first 200 of `/health/live`; then one job detail three times, first
by its route and then by the fast path. `worker`: to its line `worker_started`. `help`: `atelier
--help` from start to end. They run in turn, on byte code that is already compiled, against a real
Postgres and S3. CPU time says more than wall time on a machine that is busy.

The last line is one JSON object: of each the best and the median, and the most memory. The exit
code is 1 if the fastest `atelier serve` took longer than `--limit` seconds.
"""

import argparse
import asyncio
import contextlib
import json
import os
import resource
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import migrations
from backend.dev.services import local_services
from tests.benchmarks.http import asking, data
from tests.benchmarks.http.load import END_OF_HEAD, LENGTH
from tests.benchmarks.http.servers import Server, server
from tests.benchmarks.running import Running, settings

LIMIT = 1.0  # seconds, on an idle machine
JOBS = 1_000
BUCKET = "bench"
LIVE = asking.get("/health/live", "")
GIVE_UP = 120.0  # seconds


@dataclass(frozen=True)
class Start:
    """One start: seconds until the process works, its CPU seconds and memory then."""

    wall: float
    cpu: float
    memory_mb: float
    answers_ms: tuple[float, ...] = ()


async def main() -> int:
    """Start, print, and say by the exit code whether it was soon enough."""
    asked = arguments()
    with local_services() as services:
        services.s3.create_bucket(BUCKET)
        url = services.postgres.url()
        await asyncio.to_thread(migrations.upgrade, url)
        await data.fill(url, JOBS)
        environment = settings(url) | {
            "S3_BUCKET": BUCKET,
            "S3_ENDPOINT_URL": services.s3.endpoint_url,
            "AWS_ACCESS_KEY_ID": services.s3.access_key,
            "AWS_SECRET_ACCESS_KEY": services.s3.secret_key,
            "PYTHONDONTWRITEBYTECODE": "",
        }
        client = asking.Client(await data.some_jobs(url, 10), environment)
        starts: dict[str, list[Start]] = {"serve": [], "worker": [], "help": []}
        for number in range(asked.rounds + 1):
            for name, start in (
                ("serve", await started_server(client, environment)),
                ("worker", await started_worker(environment)),
                ("help", await help_printed(environment)),
            ):
                if number:  # the first round compiles, and fills the kernel's cache
                    starts[name].append(start)
    print(json.dumps({name: figures(found) for name, found in starts.items()}))
    return int(min(start.wall for start in starts["serve"]) > asked.limit)


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--limit", type=float, default=LIMIT, help="seconds for the fastest serve")
    return parser.parse_args()


async def started_server(client: asking.Client, environment: dict[str, str]) -> Start:
    """`atelier serve`, to its first response and some more."""
    started = time.perf_counter()
    async with server("ours", environment) as running, connected(running) as ask:
        await ask(LIVE)  # the socket listens already, so the request waits for the process
        wall, cpu = time.perf_counter() - started, running.cpu_seconds
        shop, job = client.jobs[0]
        detail = asking.get(f"/v1/jobs/{job}", asking.CREDENTIALS.format(token=client.token(shop)))
        answers = []
        for _ in range(3):  # by its route, by the fast path, and once more
            asked_at = time.perf_counter()
            await ask(detail)
            answers.append((time.perf_counter() - asked_at) * 1000)
        return Start(wall, cpu, running.memory_mb, tuple(answers))


@contextlib.asynccontextmanager
async def connected(running: Server) -> AsyncIterator[Callable[[bytes], Awaitable[None]]]:
    """A function that sends a request on one connection; it raises if the response is no 200."""
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)

    async def ask(request: bytes) -> None:
        async with asyncio.timeout(GIVE_UP):
            writer.write(request)
            head = await reader.readuntil(END_OF_HEAD)
            length = LENGTH.search(head)
            await reader.readexactly(int(length[1]) if length else 0)
        assert head[9:12] == b"200", head

    yield ask
    writer.close()


async def started_worker(environment: dict[str, str]) -> Start:
    """`atelier worker`, to its line that it has started."""
    started = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "backend.cli", "worker", "--slots", "1"),
        env={**os.environ, **environment},
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    try:
        async with asyncio.timeout(GIVE_UP):
            while b"worker_started" not in (line := await process.stderr.readline()):
                assert line, "the worker has ended"
        running = Running("worker", process.pid)
        return Start(time.perf_counter() - started, running.cpu_seconds, running.memory_mb)
    finally:
        process.terminate()
        await process.communicate()


async def help_printed(environment: dict[str, str]) -> Start:
    """`atelier --help`."""
    before, started = children(), time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "backend.cli", "--help"),
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.DEVNULL,
    )
    assert await process.wait() == 0
    return Start(time.perf_counter() - started, children() - before, 0.0)


def children() -> float:
    """The CPU seconds of all processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def figures(starts: list[Start]) -> dict[str, object]:
    """The best and the median of the starts."""
    answers = zip(*(start.answers_ms for start in starts), strict=True)
    return {
        "wall_s": best_and_median([start.wall for start in starts]),
        "cpu_s": best_and_median([start.cpu for start in starts]),
        "memory_mb": round(max(start.memory_mb for start in starts)),
        "details_ms": [best_and_median(list(each)) for each in answers],
    }


def best_and_median(values: list[float]) -> list[float]:
    """Both, rounded."""
    return [round(min(values), 2), round(statistics.median(values), 2)]


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
