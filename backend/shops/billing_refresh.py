"""When to read from Shopify what a shop has bought. `backend.billing` does it; here nobody does."""


class BillingRefresh:
    """Reads nothing: for an app that does not charge its merchants."""

    async def when_opened(self, shop_domain: str) -> None:
        """A merchant has opened the app, maybe after they approved a charge. Raises nothing."""

    async def before_refusal(self, shop_domain: str) -> bool:
        """The shop is about to be refused for lack of credits; whether it has new ones now.

        Raises nothing. Shopify is asked at most once a minute for each shop.
        """
        return False
