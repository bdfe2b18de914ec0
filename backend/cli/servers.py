"""`atelier serve` and `atelier worker`: the processes of a deployment."""

import asyncio
import errno
import faulthandler
import gc
import os
import signal
import socket
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

import click

from backend.cli.development import require_development_modules
from backend.cli.optional_packages import import_without
from backend.cli.run import INTERRUPTED, run
from backend.errors import ConfigurationError

if TYPE_CHECKING:
    from backend.dev.transport import LoopbackShopify
    from backend.http_semantics import HttpSemantics
    from backend.jobs.fast_path import FastPath
    from backend.settings import Settings
    from backend.storage.objects import ObjectStore

READ_AHEAD = 64 * 1024  # bytes that the kernel buffers for a connection, and uvicorn reads at once

stand_in_option = click.option(
    "--stand-in",
    metavar="URL",
    help="Talk to a stand-in Shopify on loopback (`atelier stand-in`); allows demo secrets.",
)
end_with_parent_option = click.option(
    "--end-with-parent", is_flag=True, hidden=True, help="End when standard input closes."
)


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    default=8000,
    show_default=True,
    help="The port to listen on.",
)
@click.option("--fd", type=int, help="Serve on this inherited socket instead.")
@stand_in_option
@end_with_parent_option
def serve(
    host: str, port: int, fd: int | None, stand_in: str | None, end_with_parent: bool
) -> None:
    """Serve the HTTP API and receive webhooks. Put a TLS-terminating proxy in front.

    Run `atelier migrate` first. Needs DATABASE_URL, S3_BUCKET, SHOPIFY_API_KEY, SHOPIFY_API_SECRET
    and TOKEN_KEYS in the environment, and AWS's credentials; the README lists all settings.
    """
    signal.signal(signal.SIGINT, exit_while_starting)
    # First, so that a wrong setting is reported at once: the other imports take seconds.
    settings, transport = started("atelier-web", stand_in, end_with_parent=end_with_parent)
    listening = bound_socket(host, port, fd)

    app = checked_app(settings, transport, stand_in)

    import structlog
    import uvicorn

    from backend.app import KEEP_ALIVE_SECONDS
    from backend.http_protocol import LimitedProtocol
    from backend.metrics import served_metrics

    class Server(uvicorn.Server):
        """Answers long-polls before it shuts down: they would delay it, and be cut off."""

        async def shutdown(self, sockets: "list[socket.socket] | None" = None) -> None:
            app.app.reads.wakeups.close()
            await super().shutdown(sockets)

    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        http=LimitedProtocol,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # nothing reads the client's address or scheme from the ASGI scope
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=10,
    )
    # What arrives before the app reads it is in no budget: hundreds of clients times 256 KB.
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, READ_AHEAD)
    start_listening(listening, config.backlog)
    structlog.get_logger(__name__).info("listening", address=str(listening.getsockname()))
    collect_garbage()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, exit_cleanly)  # uvicorn raises it again, once it has stopped
    with served_metrics(settings.metrics_listen):
        Server(config).run([listening])


@click.command()
@click.option("--slots", type=click.IntRange(1, 64), help="Renders side by side; default: cores.")
@stand_in_option
@end_with_parent_option
def worker(slots: int | None, stand_in: str | None, end_with_parent: bool) -> None:
    """Process jobs and webhooks until stopped. Run any number of workers, on any machine.

    Needs the settings of `atelier serve`. Hands its job over when it is stopped.
    """
    settings, transport = started("atelier-worker", stand_in, end_with_parent=end_with_parent)

    import uvloop

    from backend.worker.run import run_worker

    endpoints = None
    if transport is not None:
        from backend.dev.transport import LoopbackEndpoints

        endpoints = LoopbackEndpoints()
    collect_garbage()
    running = run_worker(
        settings, slots=slots, shopify_transport=transport, endpoint_transport=endpoints
    )
    run(running, uvloop.run)


def started(
    service: str, stand_in: str | None, *, end_with_parent: bool
) -> "tuple[Settings, LoopbackShopify | None]":
    """What every server process does first: logs, settings, a check of secrets and keys, traces."""
    gc.disable()  # until `collect_garbage`: imports make none, and searching it takes a tenth
    import_without(("rich", "pygments"), "structlog", "httpx")  # for colours in a terminal
    import_without(("cryptography",), "jwt")  # for other algorithms than HS256

    from backend.billing.plans import require_billing_settings
    from backend.logs import configure_logging
    from backend.settings import Settings
    from backend.shops.token_encryption import TokenKeys
    from backend.tracing import traced_process

    configure_logging()
    faulthandler.enable()  # shows where a loop hangs when systemd's watchdog ends it
    if end_with_parent:
        threading.Thread(target=exit_at_end_of_input, daemon=True).start()
    settings = Settings.from_env()
    tempfile.gettempdir()  # raises FileNotFoundError if none can be written: uploads need one
    transport = None
    if stand_in is None:
        settings.require_real_secrets()
    else:
        require_development_modules()
        from backend.dev.transport import LoopbackShopify

        transport = LoopbackShopify(stand_in)
    require_billing_settings(settings)
    TokenKeys(settings.token_keys)  # raises `ConfigurationError` if they are invalid
    click.get_current_context().with_resource(traced_process(service))
    return settings, transport


def exit_while_starting(_signal: int, _frame: FrameType | None) -> NoReturn:
    """End at once on Ctrl-C: an exception would wait for the checks of Postgres and the bucket."""
    os._exit(INTERRUPTED)


def exit_cleanly(_signal: int, _frame: FrameType | None) -> NoReturn:
    """End the process, but write the last log lines and send the last spans before."""
    sys.exit(0)


def collect_garbage() -> None:
    """Collect garbage from now on, but never search through what the start has created."""
    gc.freeze()
    gc.enable()


def bound_socket(host: str, port: int, fd: int | None) -> socket.socket:
    """The socket to serve on, not listening yet. Raises `ConfigurationError`."""
    listening = None
    try:
        if fd is not None:
            return socket.socket(fileno=fd)
        listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
    except OSError as error:
        if listening is not None:
            listening.close()
        raise ConfigurationError(cannot_listen(error, host, port, fd)) from error
    return listening


def start_listening(listening: socket.socket, backlog: int) -> None:
    """Take connections from now on. Raises `ConfigurationError`.

    Another process may have bound the same port while neither of them listened. uvloop listens
    itself, but ignores that this fails: the process would run and serve nobody.
    """
    try:
        listening.listen(backlog)
    except OSError as error:
        address = listening.getsockname()
        raise ConfigurationError(
            f"Cannot listen on {address}: {error.strerror}. End the other process, or choose "
            "another port with --port."
        ) from error


def cannot_listen(error: OSError, host: str, port: int, fd: int | None) -> str:
    """Why there is no socket to serve on, and what to do."""
    if fd is not None:
        return f"--fd {fd} is not an open socket: {error.strerror}."
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} on {host} is in use by another process. Choose another with --port."
    if error.errno == errno.EACCES:
        return f"This user may not listen on port {port}. Choose one above 1023 with --port."
    return f"Cannot listen on {host}: {error.strerror}. Set --host to an address of this machine."


def checked_app(
    settings: "Settings", transport: "LoopbackShopify | None", stand_in: str | None
) -> "HttpSemantics[FastPath]":
    """The app, once Postgres and the bucket are known to serve it. Raises `ConfigurationError`.

    What waits for the network does so in a thread, beside `create_app`.
    """
    from backend.app import create_app
    from backend.page.shell import SHOPIFY, ShopifyOrigins
    from backend.storage.objects import ObjectStore

    with ThreadPoolExecutor(1) as beside:
        store = ObjectStore(settings)
        checks = beside.submit(asyncio.run, check_services(settings, store))
        origins = ShopifyOrigins(cdn=stand_in, admin=stand_in) if stand_in else SHOPIFY
        app = create_app(
            settings, store=store, shopify_transport=transport, shopify_origins=origins
        )
        checks.result()
    return app


async def check_services(settings: "Settings", store: "ObjectStore") -> None:
    """Raise `ConfigurationError` if Postgres or the bucket will not serve this process."""
    from backend.db import Database
    from backend.storage.bucket_check import require_bucket

    database = Database(settings.database_url, pool_size=1)
    try:
        await database.require_schema_at_start()
    finally:
        await database.close()
    await require_bucket(store, may_list=False)


def exit_at_end_of_input() -> None:
    """Exit with the parent, even if it is killed: its end of the pipe closes then.

    Not through `sys.stdin`: this thread would hold its lock while Python ends, which is fatal.
    """
    while os.read(0, 4096):
        pass
    os._exit(1)
