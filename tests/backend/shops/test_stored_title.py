"""What a job keeps of a product's title."""

from datetime import UTC, datetime

from backend.shops.shopify_responses import Product


def test_a_title_is_stored_without_null_characters_and_with_a_limit() -> None:
    now = datetime(2026, 11, 29, tzinfo=UTC)
    product = Product(
        gid="gid://shopify/Product/1",
        title="a\0" + "b" * 300,
        status="ACTIVE",
        vendor="",
        product_type="",
        tags=[],
        created_at=now,
        updated_at=now,
    )
    assert product.stored_title == "a" + "b" * 254
