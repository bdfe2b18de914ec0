"""Any multiset and order of deliveries of the same charges: each grants once, in the end."""

import asyncio
import uuid

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backend.dev.shopify.charges import Charge
from backend.dev.shopify.payloads import charge_payload
from tests.backend.billing.buying import bought, lots, ordered, read_billing
from tests.running_app import RunningApp
from tests.scenarios import process_webhook

pytestmark = pytest.mark.slow

STATUSES = ("PENDING", "ACTIVE", "DECLINED", "EXPIRED", "CANCELLED", "FROZEN")
# Which charge a delivery is about, and what it says of it, which may be long over or a lie.
DELIVERIES = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from(STATUSES)), min_size=1, max_size=8
)


async def deliver_all(
    app: RunningApp, shop: str, charges: list[Charge], deliveries: list[tuple[int, str]]
) -> None:
    """Deliver one after the other, and then read once more, as a worker's sweep does."""
    record = app.shopify.platform.shops[shop]
    for index, status in deliveries:
        charge = charges[index]
        payload = charge_payload(charge, record, status)
        await process_webhook(app, charge.topic, payload, shop=shop)
    await read_billing(app, shop)


@given(deliveries=DELIVERIES, side_by_side=st.booleans())
@settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
async def test_any_deliveries_of_the_same_charges_grant_each_once(
    shared_app: RunningApp, deliveries: list[tuple[int, str]], side_by_side: bool
) -> None:
    shop = f"shop-{uuid.uuid4().hex[:12]}.myshopify.com"
    await shared_app.install(shop)
    gids = [
        await bought(shared_app, shop, plan="studio"),
        await bought(shared_app, shop, pack="pack-100"),
        await ordered(shared_app, shop, pack="pack-1000"),
        await ordered(shared_app, shop, plan="starter"),
    ]
    charges = [shared_app.shopify.charge(shop, gid) for gid in gids]
    half = len(deliveries) // 2 if side_by_side else 0
    await asyncio.gather(
        deliver_all(shared_app, shop, charges, deliveries[:half]),
        deliver_all(shared_app, shop, charges, deliveries[half:]),
    )
    assert sorted(await lots(shared_app, shop)) == [("pack", 100), ("plan", 1000)]
