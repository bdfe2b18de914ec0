"""The page's whole story on the real stack, in one go."""

from tests.page.admin_page import AdminPage
from tests.page.shops import Shop
from tests.page.story import Story


async def test_a_merchant_makes_publishes_and_takes_back_an_image(
    admin: AdminPage, shop: Shop
) -> None:
    steps: list[str] = []

    async def see(step: str) -> None:
        steps.append(step)

    await Story(admin=admin, shop=shop, see=see).tell()
    assert len(steps) == 8
