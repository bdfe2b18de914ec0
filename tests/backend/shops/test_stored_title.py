"""What a job keeps of a product's title."""

from datetime import UTC, datetime

from backend.shops.shopify_responses import PageInfo, Product, ProductMediaPage


def test_a_title_is_stored_up_to_shopifys_limit() -> None:
    now = datetime(2026, 11, 29, tzinfo=UTC)
    product = Product(
        gid="gid://shopify/Product/1",
        title="a" * 300,
        status="ACTIVE",
        vendor="",
        product_type="",
        tags=[],
        created_at=now,
        updated_at=now,
        media=ProductMediaPage(nodes=[], page_info=PageInfo(has_next_page=False)),
    )
    assert product.stored_title == "a" * 255
