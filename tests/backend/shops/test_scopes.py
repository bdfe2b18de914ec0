"""Access scopes: what a shop has granted, and what it covers."""

import pytest
from shopify import ApiAccess

from backend.shops.scopes import covers, scope_handles


@pytest.mark.parametrize(
    ("granted", "needed", "covered"),
    [
        ("read_products", "read_products", True),
        ("write_products", "read_products", True),
        ("read_products", "write_products", False),
        (" write_files , read_products,", "read_files,read_products", True),
        ("write_files", "write_files,write_products", False),
        ("unauthenticated_write_checkouts", "unauthenticated_read_checkouts", True),
        ("unauthenticated_write_checkouts", "read_checkouts", False),
        ("read_x_write_y", "read_x_read_y", False),
        ("", "read_products", False),
        ("", "", True),
    ],
)
def test_write_covers_read_and_nothing_else_is_implied(
    granted: str, needed: str, covered: bool
) -> None:
    assert covers(granted, needed) is covered


@pytest.mark.parametrize(
    "unknown", ["customer_read_customers", "customer_write_orders", "openid", "a b"]
)
def test_an_unknown_handle_is_kept_and_stops_nothing(unknown: str) -> None:
    granted = f"{unknown},write_products"
    assert covers(granted, "read_products")
    assert covers(granted, unknown)
    assert scope_handles(granted) == {unknown, "write_products"}


def test_a_customer_scope_to_write_covers_the_one_to_read() -> None:
    assert covers("customer_write_orders", "customer_read_orders")


@pytest.mark.parametrize(
    "scopes",
    ["", "write_products,read_products", "read_files , write_products,", "unauthenticated_read_x"],
)
def test_handles_are_those_of_shopifys_library_for_the_scopes_that_it_knows(scopes: str) -> None:
    assert scope_handles(scopes) == set(ApiAccess(scopes))
