"""When to read from Shopify what a shop has bought. `backend.billing` does it; here nobody does."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from backend.errors import InsufficientBalance

T = TypeVar("T")


class BillingRefresh:
    """Reads nothing: for an app that does not charge its merchants."""

    async def when_opened(self, shop_domain: str) -> None:
        """A merchant has opened the app, maybe after they approved a charge. Raises nothing."""

    async def before_refusal(self, shop_domain: str) -> bool:
        """The shop is about to be refused for lack of credits; whether it has new ones now.

        Raises nothing. Shopify is asked at most once a minute for each shop.
        """
        return False


NO_BILLING = BillingRefresh()


async def with_refresh(
    billing_refresh: BillingRefresh, shop_domain: str, store: Callable[[], Awaitable[T]]
) -> T:
    """What `store` stores; it is called again if the shop has bought the credits that it lacks.

    `store` has a transaction of its own. Raises `InsufficientBalance`, and what `store` raises.
    """
    try:
        return await store()
    except InsufficientBalance:
        if not await billing_refresh.before_refusal(shop_domain):
            raise
    return await store()
