"""What a process tells Prometheus, on an address of its own: `METRICS_LISTEN`, off by default.

The server runs in a thread, so that it still answers while the event loop does not. Nothing of any
shop is in the figures.
"""

import contextlib
from collections.abc import Iterator
from urllib.parse import urlsplit

from prometheus_client import Gauge, start_http_server

from backend.errors import ConfigurationError

EVENT_LOOP_LAG = Gauge(
    "atelier_event_loop_lag_seconds", "How late the event loop last was for a timer of its own."
)
COMPLIANCE_OVERDUE = Gauge(
    "atelier_compliance_overdue",
    "Compliance webhooks that have not been carried out within a day, over all shops.",
)


@contextlib.contextmanager
def served_metrics(listen: str) -> Iterator[None]:
    """Serve the figures at `host:port` until the block ends; an empty `listen` serves none.

    Raises `ConfigurationError` when the address is malformed or taken.
    """
    if not listen:
        yield
        return
    host, port = parsed(listen)
    try:
        server, thread = start_http_server(port, host)
    except OSError as error:
        raise ConfigurationError(f"METRICS_LISTEN: cannot listen on {listen}: {error}.") from error
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def parsed(listen: str) -> tuple[str, int]:
    """Host and port of `host:port`. Raises `ConfigurationError`."""
    try:
        address = urlsplit(f"//{listen}")
        host, port = address.hostname, address.port
    except ValueError:  # such as a port beyond 65535
        host = port = None
    if not host or port is None:
        raise ConfigurationError(
            f"METRICS_LISTEN must be host:port, such as 127.0.0.1:9464, not {listen!r}."
        )
    return host, port
