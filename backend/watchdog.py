"""systemd's watchdog: reports that the event loop runs, and measures its lag.

systemd kills a process that has not reported for `WatchdogSec`: a blocked event loop serves nobody,
even if the process looks alive. The message is a datagram to the socket in `NOTIFY_SOCKET`. The
libraries for it are a C extension or unmaintained, and it takes only a few lines. Without systemd
only the lag is measured.

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

PING_INTERVAL = 1.0  # seconds; well below half of `WatchdogSec`, so that its limit is exact
MIN_REPORTED_LAG = 1.0  # seconds


@contextlib.asynccontextmanager
async def watched_loop(
    environ: Mapping[str, str] = os.environ, *, interval: float = PING_INTERVAL
) -> AsyncIterator[None]:
    """Report readiness to systemd, then ping its watchdog until the block ends."""
    address = environ.get("NOTIFY_SOCKET", "")
    notify(address, b"READY=1")
    watching = asyncio.create_task(ping_watchdog(address, interval))
    try:
        yield
    finally:
        watching.cancel()
        notify(address, b"STOPPING=1")


async def ping_watchdog(address: str, interval: float) -> None:
    """Ping every `interval` seconds from the event loop, and log a large lag."""
    while True:
        notify(address, b"WATCHDOG=1")
        due = time.monotonic() + interval
        await asyncio.sleep(interval)
        lag = max(0.0, time.monotonic() - due)
        EVENT_LOOP_LAG.set(lag)
        if lag > MIN_REPORTED_LAG:
            log.warning("event_loop_blocked", seconds=round(lag, 1))


def notify(address: str, message: bytes) -> None:
    """Send the message to systemd, if it runs us; never blocks the event loop."""
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        try:
            sock.sendto(message, address.replace("@", "\0", 1) if address[0] == "@" else address)
        except OSError as error:
            log.warning("systemd_not_told", error=str(error))
