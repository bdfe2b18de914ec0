"""`atelier serve` and `atelier worker`: the processes of a deployment."""

import faulthandler
import os
import socket
import threading
from typing import TYPE_CHECKING

import click

from backend.cli.development import require_development_modules
from backend.cli.run import run

if TYPE_CHECKING:
    from backend.dev.transport import LoopbackShopify
    from backend.settings import Settings

READ_AHEAD = 64 * 1024  # bytes that the kernel buffers for a connection, and uvicorn reads at once

stand_in_option = click.option(
    "--stand-in",
    metavar="URL",
    help="Talk to a stand-in Shopify on loopback (what `atelier dev` does); allows demo secrets.",
)
end_with_parent_option = click.option(
    "--end-with-parent", is_flag=True, hidden=True, help="End when standard input closes."
)


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(1, 65535), default=8000, show_default=True)
@click.option("--fd", type=int, help="Serve on this inherited socket instead.")
@stand_in_option
@end_with_parent_option
def serve(
    host: str, port: int, fd: int | None, stand_in: str | None, end_with_parent: bool
) -> None:
    """Serve the HTTP API and receive webhooks. Put a TLS-terminating proxy in front."""
    # First, so that a wrong setting is reported at once: the other imports take seconds.
    settings, transport = started("atelier-web", stand_in, end_with_parent=end_with_parent)

    import uvicorn

    from backend.app import KEEP_ALIVE_SECONDS, create_app
    from backend.db import required_schema
    from backend.http_protocol import LimitedProtocol
    from backend.metrics import served_metrics
    from backend.page.shell import SHOPIFY, ShopifyOrigins

    run(required_schema(settings.database_url))
    origins = ShopifyOrigins(cdn=stand_in, admin=stand_in) if stand_in else SHOPIFY
    app = create_app(settings, shopify_transport=transport, shopify_origins=origins)

    class Server(uvicorn.Server):
        """Answers long-polls before it shuts down: they would delay it, and be cut off."""

        async def shutdown(self, sockets: "list[socket.socket] | None" = None) -> None:
            app.reads.wakeups.close()
            await super().shutdown(sockets)

    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        http=LimitedProtocol,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=10,
    )
    listening = config.bind_socket() if fd is None else socket.socket(fileno=fd)
    # What arrives before the app reads it is in no budget: hundreds of clients times 256 KB.
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, READ_AHEAD)
    with served_metrics(settings.metrics_listen):
        Server(config).run([listening])


@click.command()
@click.option("--slots", type=click.IntRange(1, 64), help="Renders side by side; default: cores.")
@stand_in_option
@end_with_parent_option
def worker(slots: int | None, stand_in: str | None, end_with_parent: bool) -> None:
    """Process jobs and webhooks until stopped. Run any number of workers, on any machine."""
    settings, transport = started("atelier-worker", stand_in, end_with_parent=end_with_parent)

    import uvloop

    from backend.worker.run import run_worker

    run(run_worker(settings, slots=slots, shopify_transport=transport), uvloop.run)


def started(
    service: str, stand_in: str | None, *, end_with_parent: bool
) -> "tuple[Settings, LoopbackShopify | None]":
    """What every server process does first: logs, settings, a check of secrets and keys, traces."""
    from backend.logs import configure_logging
    from backend.settings import Settings
    from backend.shops.token_encryption import TokenKeys
    from backend.tracing import traced_process

    configure_logging()
    faulthandler.enable()  # shows where a loop hangs when systemd's watchdog ends it
    if end_with_parent:
        threading.Thread(target=exit_at_end_of_input, daemon=True).start()
    settings = Settings.from_env()
    transport = None
    if stand_in is None:
        settings.require_real_secrets()
    else:
        require_development_modules()
        from backend.dev.transport import LoopbackShopify

        transport = LoopbackShopify(stand_in)
    TokenKeys(settings.token_keys)  # raises `ConfigurationError` if they are invalid
    click.get_current_context().with_resource(traced_process(service))
    return settings, transport


def exit_at_end_of_input() -> None:
    """Exit with the parent, even if it is killed: its end of the pipe closes then.

    Not through `sys.stdin`: this thread would hold its lock while Python ends, which is fatal.
    """
    while os.read(0, 4096):
        pass
    os._exit(1)
