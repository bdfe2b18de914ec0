"""Which part of a charge was given back."""

from fractions import Fraction
from typing import Any

import msgspec
import pytest

from backend.billing.refunds import refunded_share
from backend.shops.partner_responses import PartnerEvent


def event(event_type: str, amount: str, **fields: Any) -> PartnerEvent:
    """An event of the Partner API."""
    told = {
        "id": f"{event_type} of {amount}",
        "eventType": event_type,
        "occurredAt": "2026-11-29T00:00:00Z",
        "amount": {"amount": amount, "currencyCode": "USD"},
        **fields,
    }
    return msgspec.convert(told, PartnerEvent)


@pytest.mark.parametrize(
    ("refunded", "taken"),
    [(["-10.00"], 100), (["-10.00", "-10.01"], 200), (["-9.99"], 99), (["-20.00", "-11.00"], 300)],
)
def test_a_third_of_the_money_is_a_third_of_the_credits(refunded: list[str], taken: int) -> None:
    charge = event("SUBSCRIPTION_CHARGE_ACTIVATED", "30.00", chargeId="1")
    refunds = [event("EARNING_REFUND", amount, earnedFor="1") for amount in refunded]
    share = refunded_share(charge, refunds)
    assert isinstance(share, Fraction)
    assert int(300 * share) == taken
