"""One world for a module; each test has a shop and a product of its own."""

import pytest

from backend.dev.shopify import Product
from tests.backend.publications.studio import png
from tests.doors import new_shop, shared_world
from tests.world import World

house = pytest.fixture(shared_world, scope="module")
shop = pytest.fixture(new_shop)


@pytest.fixture
def product(house: World, shop: str) -> Product:
    """A product with three pictures and three variants, two of which show one."""
    product = house.shopify.create_product(
        shop, "Tee", png("first"), "image/png", variants=("S", "M", "L")
    )
    house.shopify.add_image(product, png("second"), "image/png", alt="From behind")
    house.shopify.add_image(product, png("third"), "image/png")
    current = house.shopify.current(product)
    small, medium, _ = current.variants
    house.shopify.show_at_variant(product, small.gid, current.media[0].gid)
    return house.shopify.show_at_variant(product, medium.gid, current.media[2].gid)
