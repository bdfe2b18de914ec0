"""Workers that start at once: forked by a process that has imported everything before.

    python -m tests.faults.forked_worker ORIGIN

Each line of standard input starts one; the answer is its process ID.
"""

import asyncio
import logging
import os
import signal
import sys

from backend.dev.transport import LoopbackEndpoints, LoopbackShopify
from backend.logs import configure_logging
from backend.settings import Settings
from backend.worker.run import run_worker


def main(origin: str) -> None:
    """Fork workers until the input ends."""
    settings = Settings.from_env()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the killed ones
    for _ in sys.stdin:
        child = os.fork()
        if not child:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            configure_logging(logging.WARNING)
            asyncio.run(work(settings, origin))
            os._exit(0)
        print(child, flush=True)


async def work(settings: Settings, origin: str) -> None:
    """As `atelier worker` does."""
    await run_worker(
        settings,
        slots=1,
        shopify_transport=LoopbackShopify(origin),
        endpoint_transport=LoopbackEndpoints(),
    )


if __name__ == "__main__":
    main(sys.argv[1])
