"""`make secondline`: what row-level security costs a job's detail.

The same server on two databases of one Postgres, in turn: one as it is, and one whose policies were
switched off after its server had started (it would not start without). `statement` is the detail's
alone, as the role that web processes have. The last line is one JSON object; a ratio is that of the
rate with policies to the rate without.
"""

import argparse
import asyncio
import json
import sys
from contextlib import AsyncExitStack

from backend.dev.services import EmbeddedPostgres
from backend.tenancy import WEB
from tests.benchmarks.http.growth import (
    Run,
    check_answers,
    compared,
    execute,
    fill,
    one_run,
    populated_app,
    statements,
)

OFF = """
DO $$ DECLARE one regclass; BEGIN
    FOR one IN SELECT oid FROM pg_class WHERE relrowsecurity LOOP
        EXECUTE format('ALTER TABLE %s DISABLE ROW LEVEL SECURITY', one);
    END LOOP;
END $$
"""


async def main() -> int:
    """Measure, print, and say by the exit code whether every answer was as it should be."""
    asked = arguments()
    runs: dict[str, tuple[list[Run], list[Run]]] = {}
    async with AsyncExitStack() as stack:
        postgres = EmbeddedPostgres()
        stack.callback(postgres.stop)
        await asyncio.to_thread(postgres.start)
        shared_apps = [
            await populated_app(stack, postgres, name) for name in ("guarded", "unguarded")
        ]
        for shared_app in shared_apps:
            await fill(shared_app, asked.jobs, start=0)
            await check_answers(shared_app)
        await execute(shared_apps[1].url, OFF)
        await check_answers(shared_apps[1])
        for number in range(asked.rounds + 1):  # the first only to get warm
            turns = (0, 1) if number % 2 else (1, 0)
            pages = {
                which: await one_run(shared_apps[which], "open_pages", asked) for which in turns
            }
            for work, found in {
                "detail": pages,
                "statement": await statements(*shared_apps, role=WEB),
            }.items():
                if number:
                    for which, run in found.items():
                        runs.setdefault(work, ([], []))[which].append(run)
    figures = {
        work: {
            name.replace("against_reference", "ratio").replace("reference", "without"): value
            for name, value in compared(*found).items()
        }
        for work, found in runs.items()
    }
    print(json.dumps({"jobs": asked.jobs, "rounds": asked.rounds, **figures}))
    return 1 if any(found["wrong"] for found in figures.values()) else 0


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(prog="make secondline", description=__doc__)
    parser.add_argument("--jobs", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=0.5, help="of each run")
    parser.add_argument("--connections", type=int, default=16)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
