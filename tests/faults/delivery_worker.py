"""Workers that start at once: forked by a process that has imported and prepared everything.

    python -m tests.faults.delivery_worker ORIGIN

Each line of standard input starts one; the answer is its process ID. It takes queue entries as
`atelier worker` does, with the product's own entry points, and has its own connections.
"""

import asyncio
import logging
import os
import signal
import sys
from datetime import timedelta

from backend.db import Database
from backend.dev.transport import LoopbackEndpoints, LoopbackShopify
from backend.logs import configure_logging
from backend.settings import Settings
from backend.shops.admin_api import AdminApi
from backend.storage.objects import ObjectStore
from backend.tenancy import WORKER
from backend.worker.run import HEARTBEAT_TIMEOUT, contexts, manager
from tests.scenarios import NoRenderer


def main(origin: str) -> None:
    """Fork workers until the input ends."""
    settings = Settings.from_env()
    admin, store = AdminApi(settings, LoopbackShopify(origin)), ObjectStore(settings)
    transport = LoopbackEndpoints()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the killed ones

    async def work() -> None:
        context, handler_context = contexts(
            settings,
            database=Database(settings.database_url, role=WORKER, statement_timeout=30),
            admin=admin,
            store=store,
            renderer=NoRenderer(),
            endpoint_transport=transport,
        )
        async with manager(settings, context, handler_context) as pgq:
            await pgq.qm.run(
                batch_size=4,
                max_concurrent_tasks=20,
                heartbeat_timeout=HEARTBEAT_TIMEOUT,
                dequeue_timeout=timedelta(seconds=5),
            )

    for _ in sys.stdin:
        child = os.fork()
        if not child:
            configure_logging(logging.WARNING)
            asyncio.run(work())
            os._exit(0)
        print(child, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
