"""The app was removed, or its scopes changed. Shopify itself is asked whether it is so."""

from backend.jobs.states import Failure
from backend.jobs.timeline import fail_unfinished
from backend.shops.admin_api import TokenRefused
from backend.shops.service import installed_shop, set_scopes, uninstall
from webhooks.outcome import Desk, Outcome, ignored, processed
from webhooks.payloads import Delivery, ShopPayload

SHOP_UNINSTALLED = Failure(
    code="SHOP_UNINSTALLED", message="The app was removed from the shop before the job was done."
)


async def app_uninstalled(delivery: Delivery, desk: Desk) -> Outcome:
    """Close the shop's account, if its token is dead indeed.

    The topic and the shop are headers that nobody signed, and a delivery may be older than a
    reinstall. A removed app's token dies at once; while it lives, the app is installed.
    """
    body = delivery.read(ShopPayload)
    if body.myshopify_domain not in {None, delivery.shop_domain}:
        return ignored("SHOP_MISMATCH")
    if await is_still_installed(delivery, desk):
        return ignored("STILL_INSTALLED")
    async with desk.database.transaction() as connection:
        shop_id = await uninstall(connection, delivery.shop_domain)
        if shop_id is None:
            return ignored("SHOP_NOT_INSTALLED")
        await fail_unfinished(connection, shop_id, SHOP_UNINSTALLED)
    return processed("UNINSTALLED")


async def is_still_installed(delivery: Delivery, desk: Desk) -> bool:
    """Whether Shopify still honours the shop's token."""
    try:
        shop = await installed_shop(desk.database, desk.admin, delivery.shop_domain)
        if shop is None:
            return False
        await desk.admin.installation(shop.domain, shop.access_token)
    except TokenRefused:
        return False
    return True


async def app_scopes_updated(delivery: Delivery, desk: Desk) -> Outcome:
    """Remember the scopes that the shop grants now; the body's own list may be out of date."""
    shop = await installed_shop(desk.database, desk.admin, delivery.shop_domain)
    if shop is None:
        return ignored("SHOP_NOT_INSTALLED")
    installation = await desk.admin.installation(shop.domain, shop.access_token)
    async with desk.database.transaction() as connection:
        await set_scopes(connection, shop.id, installation.scopes)
    return processed("SCOPES_UPDATED")
