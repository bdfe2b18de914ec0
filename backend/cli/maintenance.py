"""Commands that change stored data: schema, keys, repairs, erasures."""

import asyncio
import logging
import sys

import click

from backend.cli.run import INTERRUPTED, run


@click.command()
@click.option("--to", "revision", default="head", show_default=True, help="An Alembic revision.")
def migrate(revision: str) -> None:
    """Upgrade the database schema. Safe to run from several machines at once.

    Needs DATABASE_URL alone: the login that owns the database. All or nothing: what is interrupted
    changes nothing and can be run again.
    """
    import migrations
    from backend.settings import required_database_url

    if not revision.strip():
        raise click.BadParameter("it is empty.", param_hint="--to")
    url = required_database_url()
    try:
        migrations.upgrade(url, revision)
    except (KeyboardInterrupt, asyncio.CancelledError):
        click.echo("Stopped. Nothing was changed; run `atelier migrate` again.", err=True)
        sys.exit(INTERRUPTED)
    click.echo(f"The schema is at {revision}{'' if revision == 'head' else ' or newer'}.")


@click.command()
@click.option("--report", is_flag=True, help="Only show the results of the last 30 days.")
@click.option(
    "--force",
    is_flag=True,
    help="Repair even where more differs than crashes explain; first make sure that DATABASE_URL "
    "and S3_BUCKET belong together.",
)
def reconcile(report: bool, force: bool) -> None:
    """Repair now what the workers repair on a schedule.

    Lost queue entries, products whose webhook never came, unused uploads, objects and rows. Also
    compares every shop's credits with its ledger: a difference is repaired by nobody.

    Prints what was found and repaired, by kind. Safe while the service runs. Exit code 1 if
    something could not be repaired.
    """
    from backend.logs import configure_logging
    from backend.worker.reconcile import reconcile_all, show_report

    configure_logging(logging.WARNING)
    if report:
        run(show_report())
    elif not run(reconcile_all(force=force)):
        sys.exit(1)


@click.group()
def keys() -> None:
    """Manage the keys that encrypt the shops' tokens in the database."""


@keys.command()
def new() -> None:
    """Print a new entry for TOKEN_KEYS; keep it where you keep SHOPIFY_API_SECRET.

    To rotate: add it at the end of TOKEN_KEYS and restart every process, move it to the front and
    restart them again, run `atelier keys reencrypt`, and remove the old entry.
    """
    from backend.shops.token_encryption import generate_key

    click.echo(generate_key())


@keys.command()
def reencrypt() -> None:
    """Encrypt every stored token with the first of TOKEN_KEYS; safe while the service runs.

    Exit code 1 while a token still needs another key: then remove no key.
    """
    from backend.worker.console import reencrypt_tokens

    if not run(reencrypt_tokens()):
        sys.exit(1)


@click.group()
def erasures() -> None:
    """Use the list of erasures in the bucket, which outlives the database."""


@erasures.command()
def repeat() -> None:
    """Repeat all erasures: after a restore from a dump, before any process starts.

    The dump brings back what was erased after it was made. Skips shops and customers that do not
    exist, and what a shop that came back has made since. Safe to run again.
    """
    from backend.logs import configure_logging
    from backend.worker.erasures import repeat_erasures

    configure_logging(logging.WARNING)
    run(repeat_erasures())
