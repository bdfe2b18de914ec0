"""`atelier credits`: explain a shop's balance, grant credits by hand, and take a lot back."""

import os
from collections.abc import Sequence

import pytest

from tests.backend.credits.ledger import balance, lots
from tests.commands import start_atelier
from tests.flows.processes import environment
from tests.running_app import SHOP, RunningApp

pytestmark = pytest.mark.slow  # it starts processes


async def credits_command(running_app: RunningApp, *words: str) -> tuple[int | None, str, str]:
    """`atelier credits …`: exit code, stdout and stderr."""
    env = {**os.environ, **environment(running_app.settings)}
    process = await start_atelier("credits", *words, **env)
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def test_a_grant_is_made_once_for_a_ref(running_app: RunningApp) -> None:
    await running_app.install()
    words = (
        "grant",
        SHOP,
        "25",
        "--ref",
        "ticket-7",
        "--reason",
        "Sorry",
        "--expires",
        "2100-01-31",
    )
    code, out, _ = await credits_command(running_app, *words)
    assert (code, out) == (0, "Granted 25 credits (ref ticket-7). Available: 25.\n")
    code, out, err = await credits_command(running_app, *words)
    assert (code, out) == (0, "")
    assert err == "Ref ticket-7 has granted 25 credits before; nothing was granted.\n"
    code, _, err = await credits_command(running_app, "grant", SHOP, "99", "--ref", "ticket-7")
    assert (code, "25 credits before" in err) == (1, True)
    assert await balance(running_app, SHOP) == (25, 0)
    [lot] = await lots(running_app, SHOP)
    assert (lot["source"], lot["ref"], lot["reason"]) == ("manual", "ticket-7", "Sorry")
    assert lot["expires_at"].isoformat() == "2100-01-31T00:00:00+00:00"


async def test_show_explains_the_balance(running_app: RunningApp) -> None:
    await running_app.install()
    await credits_command(
        running_app, "grant", SHOP, "25", "--ref", "ticket-7", "--reason", "Sorry"
    )
    code, out, _ = await credits_command(running_app, "show", SHOP.upper())
    first, lot, entry = [" ".join(line.split()) for line in out.splitlines()]
    assert (code, first) == (0, "available 25, held 0")
    assert lot.endswith("manual 25 of 25 expires - ticket-7 Sorry")
    assert entry.startswith("1 20") and "grant available +25 held +0 lot " in entry


async def test_a_lot_is_voided_once(running_app: RunningApp) -> None:
    await running_app.install()
    for amount, ref in (("25", "refunded"), ("4", "kept")):
        await credits_command(running_app, "grant", SHOP, amount, "--ref", ref)
    number = str(next(lot["id"] for lot in await lots(running_app, SHOP) if lot["amount"] == 25))
    code, out, _ = await credits_command(running_app, "void", SHOP, number)
    told = f"Voided 25 credits of lot {number} (manual refunded). Available: 4.\n"
    assert (code, out) == (0, told)
    code, out, err = await credits_command(running_app, "void", SHOP, number)
    assert (code, out) == (0, "")
    assert err == f"Lot {number} is closed already; nothing was voided.\n"
    assert await balance(running_app, SHOP) == (4, 0)
    code, _, err = await credits_command(running_app, "void", SHOP, "1000000")
    assert code == 1
    assert err == f"Error: {SHOP} has no lot 1000000. `atelier credits show` lists its lots.\n"


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("show", "nobody.myshopify.com"), 1, "No shop nobody.myshopify.com has had this app."),
        (("show", "example.com"), 2, "'example.com' is not a shop's domain"),
        (("grant", "nobody.myshopify.com", "1"), 1, "No shop nobody.myshopify.com"),
        (("grant", SHOP, "0"), 2, "0 is not in the range 1<=x<=1000000000"),
        (("grant", SHOP, "1.5"), 2, "'1.5' is not a valid integer range"),
        (("grant", SHOP, "1", "--expires", "2020-01-31"), 2, "it is in the past"),
        (("grant", SHOP, "1", "--expires", "soon"), 2, "'soon' does not match"),
        (("grant", SHOP, "1", "--reason", "x" * 201), 2, "at most 200 characters"),
        (("void", "nobody.myshopify.com", "1"), 1, "No shop nobody.myshopify.com"),
        (("void", SHOP, "0"), 2, "0 is not in the range"),
    ],
)
async def test_what_is_wrong_is_told_in_one_line(
    running_app: RunningApp, words: Sequence[str], code: int, told: str
) -> None:
    found, out, err = await credits_command(running_app, *words)
    assert (found, out) == (code, "")
    assert told in err
    assert err.startswith("Error: ") and err.count("\n") == 1
