"""The `atelier` command line. Each command imports what it needs when it runs."""

import asyncio
import faulthandler
import logging
import os
import socket
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from backend.errors import AtelierError

if TYPE_CHECKING:
    from collections.abc import Callable

    from backend.dev.transport import LoopbackShopify
    from backend.settings import Settings

READ_AHEAD = 64 * 1024  # bytes: the kernel's receive buffer per connection, and one read by uvicorn

stand_in_option = click.option(
    "--stand-in",
    metavar="URL",
    help="Use a stand-in Shopify on loopback, as `atelier dev` does. Allows demo secrets.",
)
end_with_parent_option = click.option(
    "--end-with-parent", is_flag=True, hidden=True, help="Exit when standard input closes."
)


class Commands(click.Group):
    """Prints an `AtelierError` as one line and exits with code 1."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except AtelierError as error:
            raise click.ClickException(error.message) from error


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="atelier")
def main() -> None:
    """An open backend for Shopify apps that create product images.

    Try it with `atelier demo`. `serve`, `worker` and `migrate` read their settings from the
    environment: DATABASE_URL, S3_BUCKET, S3_ENDPOINT_URL, AWS_*, SHOPIFY_API_KEY,
    SHOPIFY_API_SECRET, SHOPIFY_API_SECRET_PREVIOUS (with …_NOT_AFTER), SHOPIFY_APP_URL, TOKEN_KEYS.
    """


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print the job detail as the last line.")
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("demo-output"),
    show_default=True,
    help="Directory for the images.",
)
def demo(as_json: bool, output: Path) -> None:
    """Create one product's catalog images on this machine, from webhook to download."""
    from backend.dev.demo import run_demo

    run(run_demo(output=output, as_json=as_json))


@main.command()
@click.option(
    "--port", type=click.IntRange(1, 65535), help="Port of the web server; default: any free port."
)
def dev(port: int | None) -> None:
    """Run everything on this machine until Ctrl-C, with a demo shop and a finished job.

    Prints one line of JSON when it is ready. Generates SHOPIFY_API_KEY and SHOPIFY_API_SECRET
    unless they are set.
    """
    from backend.dev.demo import run_dev

    run(run_dev(port))


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(1, 65535), default=8000, show_default=True)
@click.option("--fd", type=int, help="Use this inherited socket instead of --host and --port.")
@stand_in_option
@end_with_parent_option
def serve(
    host: str, port: int, fd: int | None, stand_in: str | None, end_with_parent: bool
) -> None:
    """Serve the HTTP API and receive webhooks. Run it behind a TLS-terminating proxy."""
    # First, so that a wrong setting is reported at once: the other imports take seconds.
    settings, transport = started(stand_in, end_with_parent=end_with_parent)

    import uvicorn

    from backend.app import KEEP_ALIVE, create_app
    from backend.db import required_schema
    from backend.http_protocol import LimitedProtocol
    from backend.metrics import served_metrics

    run(required_schema(settings.database_url))
    app = create_app(settings, shopify_transport=transport)

    class Server(uvicorn.Server):
        """Ends long polls first: they would delay the shutdown and then be cut off."""

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
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=10,
    )
    listening = config.bind_socket() if fd is None else socket.socket(fileno=fd)
    # Bytes received before the app reads them count in no budget: 256 KB for each of hundreds.
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, READ_AHEAD)
    with served_metrics(settings.metrics_listen):
        Server(config).run([listening])


@main.command()
@click.option(
    "--slots",
    type=click.IntRange(1, 64),
    help="Images rendered in parallel; default: one per core.",
)
@stand_in_option
@end_with_parent_option
def worker(slots: int | None, stand_in: str | None, end_with_parent: bool) -> None:
    """Process jobs and webhooks until stopped. Run any number of workers, on any machine."""
    settings, transport = started(stand_in, end_with_parent=end_with_parent)  # as in `serve`

    import uvloop

    from backend.worker.run import run_worker

    run(run_worker(settings, slots=slots, shopify_transport=transport), uvloop.run)


@main.command()
@click.option("--to", "revision", default="head", show_default=True, help="An Alembic revision.")
def migrate(revision: str) -> None:
    """Upgrade the database schema. Safe to run from several machines at once."""
    import migrations
    from backend.settings import required

    migrations.upgrade(required("DATABASE_URL"), revision)
    click.echo(f"The schema is at {revision}.")


@main.command()
@click.argument("method")
@click.argument("url")
@click.option("--shop", required=True, help="The shop's *.myshopify.com domain.")
@click.option(
    "--body",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True),
    help="File with the request body, or - for stdin.",
)
@click.option(
    "--content-type", default="application/json", show_default=True, help="Type of the body."
)
def sign(method: str, url: str, shop: str, body: str | None, content_type: str) -> None:
    """Print a curl command with a signed request to /v1, valid for 90 seconds.

    Signs with SHOPIFY_API_SECRET. For your own servers only: never send the secret to a browser.
    """
    import shlex
    import time

    from backend.auth.signed_request import signed_request
    from backend.settings import required

    data = b""
    if body:
        with click.open_file(body, "rb") as file:
            data = file.read()
    address, signature = signed_request(
        required("SHOPIFY_API_SECRET").encode(),
        method=method,
        url=url,
        shop=shop,
        body=data,
        now=int(time.time()),
    )
    words = ["curl", "-X", method.upper(), "-H", f"X-Shopify-Hmac-Sha256: {signature}", address]
    if body:
        words += ["-H", f"Content-Type: {content_type}", "--data-binary", f"@{body}"]
    click.echo(shlex.join(words))


@main.group()
def keys() -> None:
    """Manage the keys that encrypt the shops' tokens in the database."""


@keys.command()
def new() -> None:
    """Print a new entry for TOKEN_KEYS. Store it as safely as SHOPIFY_API_SECRET.

    To rotate keys: add the new entry at the end of TOKEN_KEYS and restart every process. Move it to
    the front and restart every process again. Run `atelier keys reencrypt`. Remove the old entry.
    """
    from backend.shops.token_encryption import new_key

    click.echo(new_key())


@keys.command()
def reencrypt() -> None:
    """Encrypt every stored token with the first of TOKEN_KEYS. Safe while the service runs.

    Exit code 1 if a token still needs another key: then do not remove any key.
    """
    from backend.worker.console import reencrypt_tokens

    if not run(reencrypt_tokens()):
        sys.exit(1)


@main.command()
@click.option("--report", is_flag=True, help="Only show the findings of the last 30 days.")
@click.option(
    "--force",
    is_flag=True,
    help="Repair even if more differs than crashes can explain. First make sure that DATABASE_URL "
    "and S3_BUCKET belong together.",
)
def reconcile(report: bool, force: bool) -> None:
    """Run now the repairs that workers run on a schedule.

    Repairs lost queue entries, products whose webhook never arrived, unused uploads, and
    differences between bucket and database.

    Prints how many of each kind were found and repaired. Safe while the service runs. Exit code 1
    if something could not be repaired.
    """
    from backend.logs import configure_logging
    from backend.worker.reconcile import reconcile_all, show_report

    configure_logging(logging.WARNING)
    if report:
        run(show_report())
    elif not run(reconcile_all(force=force)):
        sys.exit(1)


@main.group()
def jobs() -> None:
    """Show jobs, read directly from the database."""


@jobs.command()
@click.argument("public_id")
def show(public_id: str) -> None:
    """Print a job as its shop sees it."""
    from backend.worker.console import show_job

    run(show_job(public_id))


@jobs.command()
@click.argument("public_id")
def watch(public_id: str) -> None:
    """Follow a job until it finishes. Exit code 1 if it fails."""
    from backend.worker.console import watch_job

    if not run(watch_job(public_id)):
        sys.exit(1)


@main.group()
def webhooks() -> None:
    """List received webhooks and retry failed ones."""


@webhooks.command(name="list")
@click.option(
    "--status",
    type=click.Choice(["received", "processed", "ignored", "failed"]),
    help="received: not processed yet.",
)
@click.option("--shop", help="The shop's *.myshopify.com domain.")
@click.option("--topic", help="For example customers/redact.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
def list_webhooks(status: str | None, shop: str | None, topic: str | None, limit: int) -> None:
    """Print the newest deliveries: time, status, topic, shop, ID and note.

    Processed, ignored and failed deliveries are kept for 30 days.
    """
    from backend.worker.inbox import show_deliveries

    run(show_deliveries(status=status, shop=shop, topic=topic, limit=limit))


@webhooks.command(name="retry")
@click.argument("webhook_ids", metavar="[ID]...", nargs=-1)
@click.option("--failed", is_flag=True, help="All failed deliveries, of every shop and topic.")
def retry_webhooks(webhook_ids: tuple[str, ...], failed: bool) -> None:
    """Retry deliveries now, by the IDs that `atelier webhooks list` shows.

    For deliveries that failed or wait for their next attempt. Exit code 1 if an ID is unknown or
    its delivery was already processed: then its body has been deleted.
    """
    from backend.worker.inbox import retry_deliveries

    if failed == bool(webhook_ids):
        raise click.UsageError("Give either the IDs of deliveries or --failed.")
    if not run(retry_deliveries(webhook_ids, failed=failed)):
        sys.exit(1)


@main.group()
def erasures() -> None:
    """Use the list of erasures in the bucket, which is kept apart from the database."""


@erasures.command()
def repeat() -> None:
    """Repeat past erasures: after restoring a dump, before starting any other process.

    A dump brings back data that was erased after it was made. Skips shops and customers that are
    not in the database, and data created after a shop reinstalled the app. Safe to repeat.
    """
    from backend.logs import configure_logging
    from backend.worker.erasures import repeat_erasures

    configure_logging(logging.WARNING)
    run(repeat_erasures())


def started(
    stand_in: str | None, *, end_with_parent: bool
) -> "tuple[Settings, LoopbackShopify | None]":
    """Set up logs and settings for a server process, and check its secrets and keys."""
    from backend.logs import configure_logging
    from backend.settings import Settings
    from backend.shops.token_encryption import TokenKeys

    configure_logging()
    faulthandler.enable()  # shows where a loop hangs when systemd's watchdog ends it
    if end_with_parent:
        threading.Thread(target=exit_at_end_of_input, daemon=True).start()
    settings = Settings.from_env()
    transport = None
    if stand_in is None:
        settings.require_real_secrets()
    else:
        from backend.dev.transport import LoopbackShopify

        transport = LoopbackShopify(stand_in)
    TokenKeys(settings.token_keys)  # raises `ConfigurationError` if they are invalid
    return settings, transport


def exit_at_end_of_input() -> None:
    """Exit with the parent process, even if it was killed: its end of the pipe closes then.

    Does not read `sys.stdin`: this thread would hold its lock while Python exits, which is fatal.
    """
    while os.read(0, 4096):
        pass
    os._exit(1)


def run(main_coroutine: Any, runner: "Callable[[Any], Any]" = asyncio.run) -> Any:
    """Run a coroutine; exit with code 130 on Ctrl-C."""
    try:
        return runner(main_coroutine)
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.exit(130)


if __name__ == "__main__":
    main()
