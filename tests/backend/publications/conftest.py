"""One running app for each module; each test has a shop and a product of its own."""

import pytest

from backend.dev.shopify import ProductRecord
from tests.backend.publications.scenarios import png
from tests.running_app import RunningApp
from tests.scenarios import new_shop, open_shared_app

shared_app = pytest.fixture(open_shared_app, scope="module")
shop = pytest.fixture(new_shop)


@pytest.fixture
def product(shared_app: RunningApp, shop: str) -> ProductRecord:
    """A product with three pictures and three variants, two of which show one."""
    product = shared_app.shopify.create_product(
        shop, "Tee", png("first"), "image/png", variants=("S", "M", "L")
    )
    shared_app.shopify.add_image(product, png("second"), "image/png", alt="From behind")
    shared_app.shopify.add_image(product, png("third"), "image/png")
    current = shared_app.shopify.current(product)
    small, medium, _ = current.variants
    shared_app.shopify.show_at_variant(product, small.gid, current.media[0].gid)
    return shared_app.shopify.show_at_variant(product, medium.gid, current.media[2].gid)
