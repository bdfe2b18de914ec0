"""The daily visitor number: who shares one, and what it reveals."""

from datetime import date
from typing import Any

import pytest

from backend.auth.visitors import visitor_address, visitor_number

USUAL: dict[str, Any] = {
    "shop": "north.myshopify.com",
    "customer_id": None,
    "forwarded": [b"81.2.3.4"],
    "day": date(2026, 11, 29),
    "secret": "a secret",
}


@pytest.mark.parametrize(
    ("forwarded", "address"),
    [
        ([b"81.2.3.4"], "81.2.3.4"),
        ([b"8.8.8.8, 9.9.9.9 , 81.2.3.4"], "81.2.3.4"),
        ([b"8.8.8.8", b"81.2.3.4"], "81.2.3.4"),
        ([b"81.2.3.4, 10.1.2.3, 127.0.0.1, 100.64.0.1, fe80::1"], "81.2.3.4"),
        ([b"81.2.3.4, unknown"], ""),
        ([b"81.2.3.4, 10.1.2.3:80"], ""),
        ([b"81.2.3.4,"], ""),
        ([b"::ffff:81.2.3.4"], "81.2.3.4"),
        ([b"2a00:1450:4001:800:1:2:3:4"], "2a00:1450:4001:800::/64"),
        ([b"2a00:1450:4001:800:5::"], "2a00:1450:4001:800::/64"),
        ([b"2a00:1450:4001:801::"], "2a00:1450:4001:801::/64"),
        ([b"10.0.0.1"], ""),
        ([b"\xff\x00"], ""),
        ([b"81.2.3.4" + b", 10.0.0.1" * 100], ""),
        ([b""], ""),
        ([], ""),
    ],
)
def test_the_visitors_address_is_the_last_public_one(forwarded: list[bytes], address: str) -> None:
    assert visitor_address(forwarded) == address


@pytest.mark.parametrize(
    "other",
    [
        {"shop": "south.myshopify.com"},
        {"customer_id": "7"},
        {"forwarded": [b"81.2.3.5"]},
        {"day": date(2026, 11, 30)},
        {"secret": "another"},
    ],
)
def test_the_visitor_number_depends_on_visitor_shop_day_and_secret(other: dict[str, Any]) -> None:
    assert visitor_number(**USUAL) == visitor_number(**USUAL)
    assert visitor_number(**USUAL | other) != visitor_number(**USUAL)


def test_a_customer_has_the_same_number_at_every_address() -> None:
    there = {"customer_id": "7", "forwarded": [b"8.8.8.8"]}
    assert visitor_number(**USUAL | there) == visitor_number(**USUAL | {"customer_id": "7"})


def test_thousands_of_addresses_share_a_visitor_number() -> None:
    numbers = {
        visitor_number(**USUAL | {"forwarded": [f"81.2.{a}.{b}".encode()]})
        for a in range(64)
        for b in range(64)
    }
    assert all(len(number) == 5 for number in numbers)
    assert len(numbers) < 64 * 64, "some have met: of 2**32 addresses, 4,096 on average"
