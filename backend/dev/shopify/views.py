"""The Admin API's objects as mappings by field name.

A value is a function if the field takes arguments or is expensive to compute.
"""

from collections.abc import Mapping
from datetime import UTC, datetime

from backend.dev.shopify import search
from backend.dev.shopify.charges import Charge
from backend.dev.shopify.connections import connection
from backend.dev.shopify.graphql_context import GraphQlContext
from backend.dev.shopify.media import Media
from backend.dev.shopify.processing import FILE_ERROR_MESSAGES
from backend.dev.shopify.products import Collection, ProductRecord, Variant
from backend.dev.shopify.state import ShopRecord
from backend.dev.shopify.transforms import image_url

View = Mapping[str, object]

_TIMES = {"created_at", "updated_at"}
PRODUCT_KEYS = {
    *("default", "id", "title", "handle", "status", "vendor", "product_type", "tag"),
    *("published_status", *_TIMES),
}
FILE_KEYS = {"default", "id", "filename", "media_type", "status", *_TIMES}


def product_view(context: GraphQlContext, product: ProductRecord) -> View:
    """`ProductRecord`."""
    product = context.catalogue.fresh(product)
    gallery = list(product.media)
    return {
        "__typename": "Product",
        "id": product.gid,
        "title": product.title,
        "handle": product.handle,
        "status": product.status,
        "vendor": product.vendor,
        "productType": product.product_type,
        "tags": list(product.tags),
        "publishedAt": lambda _info: (
            product.published_at and graphql_datetime(product.published_at)
        ),
        "createdAt": lambda _info: graphql_datetime(product.created_at),
        "updatedAt": lambda _info: graphql_datetime(product.updated_at),
        "featuredMedia": lambda _info: media_view(gallery[0]) if gallery else None,
        "mediaCount": {"count": len(gallery), "precision": "EXACT"},
        "media": connection(
            gallery,
            media_view,
            key=lambda media: [media.id],
            ordered=True,
            faults=context.page_faults("Product.media"),
        ),
        "variants": connection(
            product.variants,
            lambda variant: variant_view(context, product, variant),
            key=lambda variant: [variant.position, variant.id],
            faults=context.page_faults("Product.variants"),
        ),
    }


def variant_view(context: GraphQlContext, product: ProductRecord, variant: Variant) -> View:
    """`ProductVariant`."""
    product = context.catalogue.fresh(product)
    shown = [media for media in product.media if media.id == variant.media_id]
    return {
        "__typename": "ProductVariant",
        "id": variant.gid,
        "title": variant.title,
        "position": variant.position,
        "price": variant.price,
        "product": lambda _info: product_view(context, product),
        "media": connection(shown, media_view, key=lambda media: [media.id], ordered=True),
    }


def media_view(media: Media) -> View:
    """`Media`: a `MediaImage` that has an image once it is ready, or a video or 3D model."""
    is_image = media.kind == "MediaImage"
    image = image_view(media) if is_image and media.status == "READY" else None
    errors = (
        [
            {
                "code": media.error,
                "message": FILE_ERROR_MESSAGES.get(media.error, "Unknown"),
                "details": None,
            }
        ]
        if media.error
        else []
    )
    return {
        "__typename": media.kind,
        "id": media.gid,
        "alt": media.alt,
        "createdAt": lambda _info: graphql_datetime(media.created_at),
        "updatedAt": lambda _info: graphql_datetime(media.updated_at),
        "mediaContentType": media.content_type,
        "status": media.status,
        "mediaErrors": errors,
        "fileStatus": media.status,
        "fileErrors": errors,
        "mimeType": media.picture.content_type if image else None,
        "image": image,
        "preview": {"image": image, "status": media.status},
        "originalSource": (
            {"url": media.url, "fileSize": len(media.picture.content)} if image else None
        ),
    }


def image_view(media: Media) -> View:
    """`Image`."""
    return {
        "id": media.gid.replace("MediaImage", "ImageSource"),
        "url": lambda _info, transform=None: image_url(media, transform),
        "width": media.picture.width,
        "height": media.picture.height,
        "altText": media.alt,
    }


def collection_view(context: GraphQlContext, collection: Collection) -> View:
    """`Collection`; products that were deleted are not in it."""
    found = [
        context.catalogue.product(context.shop.number, each) for each in collection.product_ids
    ]
    products = [product for product in found if product is not None]
    return {
        "__typename": "Collection",
        "id": collection.gid,
        "title": collection.title,
        "handle": collection.handle,
        "productsCount": {"count": len(products), "precision": "EXACT"},
        "products": connection(
            products,
            lambda product: product_view(context, product),
            key=lambda product: [product.id],
            ordered=True,
            faults=context.page_faults("Collection.products"),
        ),
    }


def shop_view(shop: ShopRecord) -> View:
    """`ShopRecord`."""
    return {
        "id": shop.gid,
        "name": shop.domain.partition(".")[0],
        "myshopifyDomain": shop.domain,
    }


def installation_view(shop: ShopRecord) -> View:
    """`AppInstallation`."""
    return {
        "id": f"gid://shopify/AppInstallation/{shop.number}",
        "accessScopes": [
            {"handle": scope, "description": scope.replace("_", " ").capitalize()}
            for scope in sorted(shop.scopes)
        ],
        "activeSubscriptions": [
            subscription_view(charge) for charge in (shop.charges.active,) if charge is not None
        ],
        "allSubscriptions": connection(
            shop.charges.of_kind("AppSubscription"),
            subscription_view,
            key=lambda charge: [charge.created_at.timestamp(), charge.number],
        ),
        "oneTimePurchases": connection(
            shop.charges.of_kind("AppPurchaseOneTime"),
            purchase_view,
            key=lambda charge: [charge.created_at.timestamp(), charge.number],
        ),
    }


def subscription_view(charge: Charge) -> View:
    """`AppSubscription`."""
    price = _money(charge)
    pricing = {"__typename": "AppRecurringPricing", "interval": charge.interval, "price": price}
    return {
        "__typename": "AppSubscription",
        "id": charge.gid,
        "name": charge.name,
        "status": charge.status,
        "test": charge.test,
        "trialDays": charge.trial_days,
        "returnUrl": charge.return_url,
        "createdAt": graphql_datetime(charge.created_at),
        "currentPeriodEnd": charge.period_end and graphql_datetime(charge.period_end),
        "lineItems": [
            {
                "id": f"gid://shopify/AppSubscriptionLineItem/{charge.number}?v=1&index=0",
                "plan": {"pricingDetails": pricing},
            }
        ],
    }


def purchase_view(charge: Charge) -> View:
    """`AppPurchaseOneTime`."""
    return {
        "__typename": "AppPurchaseOneTime",
        "id": charge.gid,
        "name": charge.name,
        "status": charge.status,
        "test": charge.test,
        "createdAt": graphql_datetime(charge.created_at),
        "price": _money(charge),
    }


def _money(charge: Charge) -> View:
    return {"amount": str(charge.price.normalize()), "currencyCode": charge.currency}


def product_facts(product: ProductRecord) -> dict[str, search.Value]:
    """What a search for products can ask."""
    return {
        "default": (product.title, product.vendor, product.product_type),
        "id": str(product.id),
        "title": product.title,
        "handle": product.handle,
        "status": product.status,
        "vendor": product.vendor,
        "product_type": product.product_type,
        "tag": product.tags,
        "published_status": "published" if product.published_at else "unpublished",
        "created_at": product.created_at,
        "updated_at": product.updated_at,
    }


def file_facts(media: Media) -> dict[str, search.Value]:
    """What a search for files can ask."""
    return {
        "default": (media.filename, media.alt or ""),
        "id": str(media.id),
        # Shopify's search knows the name with and without its extension.
        "filename": (media.filename, media.filename.rpartition(".")[0]),
        "media_type": media.content_type,
        "status": media.status,
        "created_at": media.created_at,
        "updated_at": media.updated_at,
    }


def graphql_datetime(at: datetime) -> str:
    """Whole seconds in UTC, as GraphQL's DateTime has them."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
