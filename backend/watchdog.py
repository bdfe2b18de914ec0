"""Tells systemd that the event loop turns, and how late it was for it.

systemd ends a process that has not said so for `WatchdogSec`: a loop that one request or one bug
holds up serves nobody, however alive the process looks. The message is a datagram to the socket in
`NOTIFY_SOCKET`; the libraries for that are a C extension or have not been touched for years, and it
is these few lines. Elsewhere than under systemd only the lag is measured.

Source: sd_notify(3), sd_watchdog_enabled(3).
"""

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import AsyncIterator, Mapping

import structlog

from backend.metrics import EVENT_LOOP_LAG

log = structlog.get_logger(__name__)

PING_INTERVAL = 1.0  # seconds; well below half of `WatchdogSec`, so that its limit is what it says
MIN_REPORTED_LAG = 1.0  # seconds of lag that the log tells


@contextlib.asynccontextmanager
async def watched_loop(
    environ: Mapping[str, str] = os.environ, *, interval: float = PING_INTERVAL
) -> AsyncIterator[None]:
    """Tell systemd that the process is ready, then that its loop turns, until the block ends."""
    address = environ.get("NOTIFY_SOCKET", "")
    notify(address, b"READY=1")
    watching = asyncio.create_task(ping_watchdog(address, interval))
    try:
        yield
    finally:
        watching.cancel()
        notify(address, b"STOPPING=1")


async def ping_watchdog(address: str, interval: float) -> None:
    """One message every `interval` seconds, from the loop itself."""
    while True:
        notify(address, b"WATCHDOG=1")
        due = time.monotonic() + interval
        await asyncio.sleep(interval)
        lag = max(0.0, time.monotonic() - due)
        EVENT_LOOP_LAG.set(lag)
        if lag > MIN_REPORTED_LAG:
            log.warning("event_loop_blocked", seconds=round(lag, 1))


def notify(address: str, message: bytes) -> None:
    """Send it to systemd, if there is one; without waiting, for nobody may hold the loop up."""
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        try:
            sock.sendto(message, address.replace("@", "\0", 1) if address[0] == "@" else address)
        except OSError as error:
            log.warning("systemd_not_told", error=str(error))
