"""The app was removed, or its scopes changed. Shopify itself is asked whether it is so."""

from backend.batches.service import stop_batches
from backend.jobs.states import Failure
from backend.jobs.timeline import SHOP_UNINSTALLED, fail_unfinished
from backend.publications.service import stop_publications
from backend.shops.answers import Installation
from backend.shops.service import KnownShop, known_shop, set_scopes, uninstall
from backend.shops.tokens import InstalledShop, NeedsReauth, asked, installed_shop
from webhooks.outcome import Desk, Outcome, ignored, processed
from webhooks.payloads import Delivery, ScopesPayload, ShopPayload

REMOVED_MEANWHILE = Failure(
    code="SHOP_UNINSTALLED",
    message="The app was removed from the shop before the publication was done.",
)


async def app_uninstalled(delivery: Delivery, desk: Desk) -> Outcome:
    """Close the shop's account, if its token is dead indeed.

    Nobody signed the headers that name topic and shop, and a delivery may be older than a
    reinstall. A removed app's token dies at once; while it lives, the app is installed.
    """
    body = delivery.read(ShopPayload)
    shop = await bound_shop(delivery, desk, body.gid)
    if shop is None or body.myshopify_domain not in {None, delivery.shop_domain}:
        return ignored("SHOP_MISMATCH")
    if shop.status == "uninstalled":
        return ignored("SHOP_NOT_INSTALLED")
    closed = await closed_if_gone(desk, shop, delivery.shop_domain)
    return processed("UNINSTALLED") if closed else ignored("STILL_INSTALLED")


async def app_scopes_updated(delivery: Delivery, desk: Desk) -> Outcome:
    """Remember the scopes that the shop grants now; the body's own list may be out of date."""
    if await bound_shop(delivery, desk, delivery.read(ScopesPayload).shop_id) is None:
        return ignored("SHOP_MISMATCH")
    shop = await installed_shop(desk.database, desk.admin, delivery.shop_domain)
    if shop is None:
        return ignored("SHOP_NOT_INSTALLED")
    installation = await installation_of(shop, desk)
    async with desk.database.transaction(shop.id) as connection:
        await set_scopes(connection, shop.id, installation.scopes)
    return processed("SCOPES_UPDATED")


async def bound_shop(delivery: Delivery, desk: Desk, gid: str | None) -> KnownShop | None:
    """The shop that the unsigned header names, unless the signed body names another."""
    shop = await known_shop(desk.database, delivery.shop_domain)
    return shop if shop is not None and shop.is_named_by(gid) else None


async def closed_if_gone(desk: Desk, shop: KnownShop, domain: str) -> bool:
    """Close an open account whose token Shopify no longer honours; whether it is closed now."""
    if await is_still_installed(desk, domain):
        return False
    async with desk.database.transaction(shop.id) as connection:
        shop_id = await uninstall(connection, shop)
        if shop_id is None:  # opened anew while Shopify was being asked
            return False
        await stop_batches(connection, shop_id, SHOP_UNINSTALLED)  # first: they make jobs
        await fail_unfinished(connection, shop_id, SHOP_UNINSTALLED)
        await stop_publications(connection, shop_id, REMOVED_MEANWHILE)
    return True


async def is_still_installed(desk: Desk, domain: str) -> bool:
    """Whether Shopify still honours the shop's token."""
    try:
        shop = await installed_shop(desk.database, desk.admin, domain)
        if shop is None:
            return False
        await installation_of(shop, desk)
    except NeedsReauth:
        return False
    return True


async def installation_of(shop: InstalledShop, desk: Desk) -> Installation:
    """What the shop says of itself. Raises `NeedsReauth` when it does not speak with us."""
    return await asked(
        desk.database,
        desk.admin,
        shop,
        lambda shop: desk.admin.installation(shop.domain, shop.access_token),
    )
