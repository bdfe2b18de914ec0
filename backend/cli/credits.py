"""Commands that show a shop's credits, grant more, and take a lot back."""

import sys
from datetime import UTC, datetime

import click

from backend.cli.run import run
from backend.cli.sign import ShopParameter

MOST_GRANTED = 1_000_000_000
LONGEST_REASON = 200  # characters
LARGEST_ID = 2**63 - 1  # of a lot, in Postgres


@click.group(name="credits")
def credits_commands() -> None:
    """Show a shop's credits, grant credits by hand, and take a lot back."""


@credits_commands.command(name="show")
@click.argument("shop", type=ShopParameter())
def show_balance(shop: str) -> None:
    """Print the balance of SHOP, its lots in the order of their use, and its newest entries."""
    from backend.worker.credit_console import show_credits

    run(show_credits(shop))


@credits_commands.command()
@click.argument("shop", type=ShopParameter())
@click.argument("amount", type=click.IntRange(1, MOST_GRANTED))
@click.option(
    "--expires",
    metavar="TIME",
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ"]),
    help="A day or time (UTC), such as 2027-06-30. Default: they do not expire.",
)
@click.option("--ref", help="Grants only once, such as a job's ID or a ticket's number.")
@click.option("--reason", help="Why. The merchant reads it in their list of transactions.")
def grant(
    shop: str, amount: int, expires: datetime | None, ref: str | None, reason: str | None
) -> None:
    """Grant SHOP that AMOUNT of credits. Batches that wait for credits go on.

    With a --ref that was used before nothing is granted; exit code 1 if the amount differs. Without
    one each call grants anew.
    """
    from backend.jobs.ids import new_public_id
    from backend.worker.credit_console import grant_by_hand

    if len(reason or "") > LONGEST_REASON or len(ref or "") > LONGEST_REASON:
        raise click.UsageError(f"--ref and --reason have at most {LONGEST_REASON} characters.")
    expires_at = expires and expires.replace(tzinfo=UTC)
    if expires_at and expires_at <= datetime.now(UTC):
        raise click.BadParameter("it is in the past.", param_hint="--expires")
    ref = ref or new_public_id()
    if not run(grant_by_hand(shop, amount, ref=ref, expires_at=expires_at, reason=reason)):
        sys.exit(1)


@credits_commands.command()
@click.argument("shop", type=ShopParameter())
@click.argument("lot", type=click.IntRange(1, LARGEST_ID))
def void(shop: str, lot: int) -> None:
    """Take back what is left of SHOP's LOT, such as a pack that was refunded.

    `atelier credits show SHOP` lists the lots by number. What jobs have spent stays spent, and what
    unfinished jobs hold of the lot is voided if they give it back. Running it twice voids once.
    """
    from backend.worker.credit_console import void_by_hand

    run(void_by_hand(shop, lot))
