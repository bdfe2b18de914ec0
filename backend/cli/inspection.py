"""Commands that show jobs and webhooks, and retry webhooks."""

import sys

import click

from backend.cli.run import run
from backend.cli.sign import ShopParameter


@click.group()
def jobs() -> None:
    """Show jobs, straight from the database."""


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


@click.group()
def webhooks() -> None:
    """Show received webhooks, and retry failed ones."""


@webhooks.command(name="list")
@click.option(
    "--status",
    type=click.Choice(["received", "processed", "ignored", "failed"]),
    help="received: not settled yet.",
)
@click.option("--shop", type=ShopParameter(), help="Its *.myshopify.com domain.")
@click.option("--topic", help="Such as customers/redact.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
def list_webhooks(status: str | None, shop: str | None, topic: str | None, limit: int) -> None:
    """Print the newest deliveries: time, status, topic, shop, id and note.

    Settled ones are kept for 30 days.
    """
    from backend.worker.inbox import show_deliveries

    run(show_deliveries(status=status, shop=shop, topic=topic, limit=limit))


@webhooks.command(name="retry")
@click.argument("webhook_ids", metavar="[ID]...", nargs=-1)
@click.option("--failed", is_flag=True, help="All that failed, of every shop and topic.")
def retry_webhooks(webhook_ids: tuple[str, ...], failed: bool) -> None:
    """Retry deliveries now, by the ids that `atelier webhooks list` shows.

    For those that failed, and those that wait for their next try. Exit code 1 if an id is unknown
    or its delivery was processed: then its body is gone.
    """
    from backend.worker.inbox import retry_deliveries

    if failed == bool(webhook_ids):
        raise click.UsageError("Give the ids of the deliveries, or --failed.")
    if not run(retry_deliveries(webhook_ids, failed=failed)):
        sys.exit(1)
