"""`atelier`: the command line. Each command imports what it needs when it runs."""

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

READ_AHEAD = 64 * 1024  # bytes that the kernel takes in for a connection, and uvicorn reads at once

stand_in_option = click.option(
    "--stand-in",
    metavar="URL",
    help="Talk to a stand-in Shopify on loopback (what `atelier dev` does); allows demo secrets.",
)
end_with_parent_option = click.option(
    "--end-with-parent", is_flag=True, hidden=True, help="End when standard input closes."
)


class Commands(click.Group):
    """Turns our own errors into one clear line and exit code 1."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except AtelierError as error:
            raise click.ClickException(error.message) from error


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="atelier")
def main() -> None:
    """An open backend for Shopify apps that make product imagery.

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
    help="Where the pictures go.",
)
def demo(as_json: bool, output: Path) -> None:
    """Make one product's catalog images on this machine, from webhook to download."""
    from backend.dev.demo import run_demo

    run(run_demo(output=output, as_json=as_json))


@main.command()
@click.option("--port", type=click.IntRange(1, 65535), help="Of the web server; default: any.")
def dev(port: int | None) -> None:
    """Run everything on this machine until Ctrl-C, with a demo shop and a finished job.

    Prints one line of JSON when it is ready. SHOPIFY_API_KEY and SHOPIFY_API_SECRET are used when
    they are set, and invented when not.
    """
    from backend.dev.demo import run_dev

    run(run_dev(port))


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(1, 65535), default=8000, show_default=True)
@click.option("--fd", type=int, help="Serve on this inherited socket instead.")
@stand_in_option
@end_with_parent_option
def serve(
    host: str, port: int, fd: int | None, stand_in: str | None, end_with_parent: bool
) -> None:
    """Serve the HTTP API and take in webhooks. Put a TLS-terminating proxy in front."""
    # First of all, so that a wrong setting is told at once: the rest takes seconds to load.
    settings, transport = started(stand_in, end_with_parent=end_with_parent)

    import uvicorn

    from backend.app import KEEP_ALIVE_SECONDS, create_app
    from backend.db import required_schema
    from backend.http_protocol import LimitedProtocol
    from backend.metrics import served_metrics

    run(required_schema(settings.database_url))
    app = create_app(settings, shopify_transport=transport)

    class Server(uvicorn.Server):
        """Lets those who wait for an event go first: they would hold the process up, and be cut."""

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
    # What comes before the app asks for it is in no budget: hundreds of clients times 256 KB.
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, READ_AHEAD)
    with served_metrics(settings.metrics_listen):
        Server(config).run([listening])


@main.command()
@click.option("--slots", type=click.IntRange(1, 64), help="Renders side by side; default: cores.")
@stand_in_option
@end_with_parent_option
def worker(slots: int | None, stand_in: str | None, end_with_parent: bool) -> None:
    """Work on jobs and webhooks until stopped. Run as many as you like, on any machine."""
    settings, transport = started(stand_in, end_with_parent=end_with_parent)  # as in `serve`

    import uvloop

    from backend.worker.run import run_worker

    run(run_worker(settings, slots=slots, shopify_transport=transport), uvloop.run)


@main.command()
@click.option("--to", "revision", default="head", show_default=True, help="An Alembic revision.")
def migrate(revision: str) -> None:
    """Bring the database's schema up to date; safe to run from several machines at once."""
    import migrations
    from backend.settings import required_variable

    migrations.upgrade(required_variable("DATABASE_URL"), revision)
    click.echo(f"The schema is at {revision}.")


@main.command()
@click.argument("method")
@click.argument("url")
@click.option("--shop", required=True, help="The shop to act for: its *.myshopify.com domain.")
@click.option(
    "--body",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True),
    help="A file with the body, or - for stdin.",
)
@click.option(
    "--content-type", default="application/json", show_default=True, help="What the body is."
)
def sign(method: str, url: str, shop: str, body: str | None, content_type: str) -> None:
    """Print a curl command for a signed request to /v1, good for 90 seconds.

    Signs with SHOPIFY_API_SECRET. For servers of yours: the secret must never reach a browser.
    """
    import shlex
    import time

    from backend.auth.signed_request import signed_request
    from backend.settings import required_variable

    data = b""
    if body:
        with click.open_file(body, "rb") as file:
            data = file.read()
    address, signature = signed_request(
        required_variable("SHOPIFY_API_SECRET").encode(),
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
    """The keys that seal the shops' tokens in the database."""


@keys.command()
def new() -> None:
    """Print a new entry for TOKEN_KEYS; keep it where you keep SHOPIFY_API_SECRET.

    To rotate: add it at the end of TOKEN_KEYS and restart every process, move it to the front and
    restart them again, run `atelier keys reencrypt`, and drop the old entry.
    """
    from backend.shops.token_encryption import generate_key

    click.echo(generate_key())


@keys.command()
def reencrypt() -> None:
    """Seal every stored token under the first of TOKEN_KEYS; safe while the service runs.

    Exit code 1 while a token still needs another key: then no key may be dropped.
    """
    from backend.worker.console import reencrypt_tokens

    if not run(reencrypt_tokens()):
        sys.exit(1)


@main.command()
@click.option("--report", is_flag=True, help="Only show what the last 30 days have brought.")
@click.option(
    "--force",
    is_flag=True,
    help="Mend even where more differs than crashes explain; first make sure that DATABASE_URL "
    "and S3_BUCKET belong together.",
)
def reconcile(report: bool, force: bool) -> None:
    """Mend now what the workers mend by the clock.

    Lost queue entries, products whose webhook never came, unused uploads, objects and rows.

    Prints what was found and put right, kind by kind. Safe while the service runs. Exit code 1
    when something could not be put right.
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
    """Look at jobs, straight from the database."""


@jobs.command()
@click.argument("public_id")
def show(public_id: str) -> None:
    """Print a job's detail as its shop sees it."""
    from backend.worker.console import show_job

    run(show_job(public_id))


@jobs.command()
@click.argument("public_id")
def watch(public_id: str) -> None:
    """Follow a job until it ends; exit code 1 if it fails."""
    from backend.worker.console import watch_job

    if not run(watch_job(public_id)):
        sys.exit(1)


@main.group()
def webhooks() -> None:
    """Look at the inbox of webhooks, and have failed ones tried again."""


@webhooks.command(name="list")
@click.option(
    "--status",
    type=click.Choice(["received", "processed", "ignored", "failed"]),
    help="received: not settled yet.",
)
@click.option("--shop", help="Its *.myshopify.com domain.")
@click.option("--topic", help="Such as customers/redact.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
def list_webhooks(status: str | None, shop: str | None, topic: str | None, limit: int) -> None:
    """Print the newest deliveries: when, status, topic, shop, id, and what is to be said of it.

    Settled ones are kept for 30 days.
    """
    from backend.worker.inbox import show_deliveries

    run(show_deliveries(status=status, shop=shop, topic=topic, limit=limit))


@webhooks.command(name="retry")
@click.argument("webhook_ids", metavar="[ID]...", nargs=-1)
@click.option("--failed", is_flag=True, help="All that have failed, of every shop and topic.")
def retry_webhooks(webhook_ids: tuple[str, ...], failed: bool) -> None:
    """Try deliveries again now, by the ids that `atelier webhooks list` shows.

    For those that failed, and those that wait for their next try. Exit code 1 when an id is unknown
    or its delivery has ended well: then nothing is left to do, and its body is gone.
    """
    from backend.worker.inbox import retry_deliveries

    if failed == bool(webhook_ids):
        raise click.UsageError("Name the deliveries by their ids, or say --failed.")
    if not run(retry_deliveries(webhook_ids, failed=failed)):
        sys.exit(1)


@main.group()
def erasures() -> None:
    """The list of erasures in the bucket, which outlives the database."""


@erasures.command()
def repeat() -> None:
    """Erase again what was erased before: after a restore from a dump, before anything is started.

    What was erased since the dump was made is back with it. Shops and customers that are not there
    are passed over, and so is what a shop that came back has made since. Safe to repeat.
    """
    from backend.logs import configure_logging
    from backend.worker.erasures import repeat_erasures

    configure_logging(logging.WARNING)
    run(repeat_erasures())


def started(
    stand_in: str | None, *, end_with_parent: bool
) -> "tuple[Settings, LoopbackShopify | None]":
    """What every server process does first: logs, settings, and a look at its secrets and keys."""
    from backend.logs import configure_logging
    from backend.settings import Settings
    from backend.shops.token_encryption import TokenKeys

    configure_logging()
    faulthandler.enable()  # where a loop is stuck, when systemd's watchdog ends it
    if end_with_parent:
        threading.Thread(target=exit_at_end_of_input, daemon=True).start()
    settings = Settings.from_env()
    transport = None
    if stand_in is None:
        settings.require_real_secrets()
    else:
        from backend.dev.transport import LoopbackShopify

        transport = LoopbackShopify(stand_in)
    TokenKeys(settings.token_keys)  # raises what is wrong with them
    return settings, transport


def exit_at_end_of_input() -> None:
    """Die with the parent, even one that was killed: its end of the pipe closes then.

    Not through `sys.stdin`: this thread would hold its lock while Python ends, which is fatal.
    """
    while os.read(0, 4096):
        pass
    os._exit(1)


def run(main_coroutine: Any, runner: "Callable[[Any], Any]" = asyncio.run) -> Any:
    """Run a coroutine; Ctrl-C is not an error of ours."""
    try:
        return runner(main_coroutine)
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.exit(130)


if __name__ == "__main__":
    main()
