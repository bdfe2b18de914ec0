"""kill -9 of the web process while Shopify creates a charge: it is found, and granted once."""

import asyncio
import contextlib
from functools import partial
from pathlib import Path

import httpx
import pytest

from backend.dev.services import LocalServices
from tests.backend.billing.buying import lots, purchases
from tests.faults.conftest import Measured
from tests.faults.web import running_web
from tests.prepaid_apps import SELLING, running_app_with
from tests.running_app import SHOP, RunningApp
from tests.scenarios import NoRenderer
from tests.wait import wait_until

ORDERS = (
    ("/v1/purchases", {"pack": "pack-100"}, "appPurchaseOneTimeCreate", ("pack", 100)),
    ("/v1/subscription", {"plan": "studio"}, "appSubscriptionCreate", ("plan", 1000)),
)
HELD = 2.0  # seconds that Shopify takes to create the charge


@pytest.mark.promise("P62", "a charge whose process died is granted once", wanted="1 grant each")
async def test_a_charge_whose_process_was_killed_is_found_and_granted_once(
    services: LocalServices, template: str, tmp_path: Path, record_promise: Measured
) -> None:
    async with (
        running_app_with(services, template, NoRenderer(), **SELLING) as app,
        running_web(app.settings, app.shopify.origin, tmp_path / "web") as web,
        httpx.AsyncClient(base_url=web.url, timeout=30) as client,
    ):
        await app.install()
        for path, body, mutation, _ in ORDERS:
            app.shopify.slow_next("graphql", HELD, field=mutation)
            known = len(charges(app))
            order = asyncio.create_task(client.post(path, headers=app.bearer(), json=body))
            await wait_until(partial(is_stored, app, known + 1), 30, poll=0.01)
            assert not order.done()
            assert len(charges(app)) == known  # Shopify is still at it
            await web.kill()
            with contextlib.suppress(httpx.TransportError):
                await order
            await wait_until(partial(has_charge, app, known + 1), 30)
            row = (await purchases(app, SHOP))[-1]
            assert (row["status"], row["charge_gid"]) == ("INTENT", None)
            await web.start()
        for charge in charges(app):
            app.shopify.approve_charge(SHOP, charge)
        for _ in range(3):  # the merchant comes back, and opens the app again
            answer = await client.post("/v1/installation", headers=app.bearer())
            assert answer.status_code == 200, answer.text
        rows = await purchases(app, SHOP)
        granted = sorted(await lots(app, SHOP))
        record_promise(
            "P62",
            f"{granted} granted after {len(ORDERS)} kills between the intent and the answer",
            granted == sorted(lot for *_, lot in ORDERS)
            and {row["status"] for row in rows} == {"ACTIVE"},
        )


def charges(app: RunningApp) -> list[str]:
    """The ids of the shop's charges at Shopify."""
    return [charge.gid for charge in app.shopify.platform.shops[SHOP].charges.charges]


def has_charge(app: RunningApp, number: int) -> bool:
    """Whether Shopify has created so many."""
    return len(charges(app)) == number


async def is_stored(app: RunningApp, number: int) -> bool:
    """Whether so many orders are stored, and Shopify was asked for the last one."""
    stored = len(await purchases(app, SHOP)) == number
    return stored and not app.shopify.platform.faults["graphql"]
