"""A product was created or changed: make its catalog images, once for each source picture."""

import msgspec

from backend.jobs.service import natural_key, request_job
from backend.publications.queries import is_own_media
from backend.shops.answers import Product, ProductImage
from backend.shops.tokens import InstalledShop, asked, installed_shop
from backend.workflows.catalog_image import CATALOG_IMAGE, CatalogImage
from webhooks.outcome import Desk, Outcome, ignored, processed
from webhooks.payloads import Delivery, ProductPayload


async def product_changed(delivery: Delivery, desk: Desk) -> Outcome:
    """Read the product as it is now, and ask for its job.

    The delivery's order does not matter, for its content is not used: whichever comes last reads
    the same product, and the same picture makes the same job.
    """
    shop = await installed_shop(desk.database, desk.admin, delivery.shop_domain)
    if shop is None:
        return ignored("SHOP_NOT_INSTALLED")
    if not shop.has_granted("read_products"):
        return ignored("SCOPE_MISSING")
    gid = delivery.read(ProductPayload).gid
    product = await asked(
        desk.database,
        desk.admin,
        shop,
        lambda shop: desk.admin.product(shop.domain, shop.access_token, gid),
    )
    if product is None:
        return ignored("PRODUCT_NOT_FOUND")
    if product.image is None:
        return ignored("NO_IMAGE")
    async with desk.database.reading() as connection:
        if await is_own_media(connection, shop.id, product.image.media_gid):
            return ignored("OWN_MEDIA")
    return await request_catalog_image(desk, shop, product, product.image)


async def request_catalog_image(
    desk: Desk, shop: InstalledShop, product: Product, image: ProductImage
) -> Outcome:
    """One job for each (shop, product, source picture, parameters), however often it is asked."""
    defaults = msgspec.to_builtins(CatalogImage())
    parameters = {name: defaults[name] for name in CATALOG_IMAGE.parameters}
    source = natural_key(image.media_gid, image.url)
    async with desk.database.transaction() as connection:
        ref = await request_job(
            connection,
            CATALOG_IMAGE,
            shop_id=shop.id,
            request={
                "product_id": product.gid,
                "media_id": image.media_gid,
                "source_url": image.url,
                **parameters,
            },
            origin="webhook",
            natural_key=natural_key(
                CATALOG_IMAGE.job_type,
                product.gid,
                source,
                msgspec.json.encode(parameters, order="deterministic").decode(),
            ),
        )
    return ignored("ALREADY_MADE") if ref is None else processed(f"JOB {ref.public_id}")
