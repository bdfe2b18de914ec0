"""Bodies of the webhook topics the backend subscribes to, with the field names Shopify uses.

Source: shopify.dev webhooks reference, 2026-07. The mixture of offsets and `Z` in one body is
Shopify's own.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

from backend.dev.shopify.catalogue import Catalogue
from backend.dev.shopify.charges import Charge
from backend.dev.shopify.media import Media
from backend.dev.shopify.products import ProductRecord, Variant
from backend.dev.shopify.state import ChargeEvent, Event, Platform, ShopRecord

Payload = dict[str, object]

_NEW_YORK = timezone(timedelta(hours=-4))


def sample_payload(topic: str, shop: ShopRecord, catalogue: Catalogue, now: datetime) -> Payload:
    """Return the usual body of a topic; the products' tell of the shop's newest.

    Raises KeyError for an unknown topic and ValueError when there is no product to tell of.
    """
    samples: dict[str, Callable[[], Payload]] = {
        "products/create": lambda: product_payload(catalogue.newest(shop.number)),
        "products/update": lambda: product_payload(catalogue.newest(shop.number)),
        "products/delete": lambda: product_deleted_payload(catalogue.newest(shop.number).id),
        "app/uninstalled": lambda: app_uninstalled_payload(shop),
        "app/scopes_update": lambda: app_scopes_update_payload(shop, now),
        "customers/data_request": lambda: customers_data_request_payload(shop),
        "customers/redact": lambda: customers_redact_payload(shop),
        "shop/redact": lambda: shop_redact_payload(shop),
        "app_subscriptions/update": lambda: charge_payload(
            shop.charges.of_kind("AppSubscription")[-1], shop
        ),
        "app_purchases_one_time/update": lambda: charge_payload(
            shop.charges.of_kind("AppPurchaseOneTime")[-1], shop
        ),
    }
    return samples[topic]()


def event_payload(event: Event | ChargeEvent, platform: Platform) -> Payload | None:
    """The body for something that has just changed; None when it has gone since."""
    shop = platform.shops[event.shop]
    if isinstance(event, ChargeEvent):
        charge = shop.charges.find(event.number)
        return None if charge is None else charge_payload(charge, shop)
    found = platform.catalogue.product(shop.number, event.product_id)
    return None if found is None else product_payload(found)


def product_payload(product: ProductRecord) -> Payload:
    """`products/create` and `products/update`: names no shop."""
    images = [
        _image(media, product)
        for media in product.media
        if media.kind == "MediaImage" and media.status == "READY"
    ]
    variants = [_variant(variant, product) for variant in product.variants]
    return {
        "id": product.id,
        "admin_graphql_api_id": product.gid,
        "title": product.title,
        "handle": product.handle,
        "body_html": None,
        "vendor": product.vendor,
        "product_type": product.product_type,
        "tags": ", ".join(product.tags),
        "status": product.status.lower(),
        "template_suffix": None,
        "published_at": None,
        "published_scope": "web",
        "created_at": _local(product.created_at),
        "updated_at": _local(product.updated_at),
        "variants": variants,
        "options": [
            {"name": "Title", "position": 1, "values": [each.title for each in product.variants]}
        ],
        "images": images,
        "image": images[0] if images else None,
        "media": [_media(media, product) for media in product.media],
        "variant_gids": [
            {
                "admin_graphql_api_id": variant.gid,
                "updated_at": _zulu(product.updated_at),
            }
            for variant in product.variants
        ],
        "has_variants_that_requires_components": False,
        "category": None,
    }


def product_deleted_payload(product_id: int) -> Payload:
    """`products/delete`."""
    return {"id": product_id}


def app_uninstalled_payload(shop: ShopRecord, *, null_domains: bool = False) -> Payload:
    """`app/uninstalled`; with `null_domains` as in Shopify's sample, which names no domain."""
    return {
        "id": shop.number,
        "name": shop.domain.partition(".")[0],
        "email": "merchant@example.com",
        "domain": None if null_domains else shop.domain,
        "myshopify_domain": None if null_domains else shop.domain,
        "plan_name": "basic",
        "plan_display_name": "Basic",
        "country_code": "US",
        "currency": "USD",
        "iana_timezone": "America/New_York",
        "shop_owner": "A Merchant",
        "created_at": None if null_domains else _local(shop.created_at),
    }


def app_scopes_update_payload(shop: ShopRecord, now: datetime) -> Payload:
    """`app/scopes_update`: both sides are lists."""
    return {
        "id": shop.number,
        "shop_id": shop.gid,
        "previous": sorted(shop.previous_scopes),
        "current": sorted(shop.scopes),
        "updated_at": _zulu(now),
    }


def customers_data_request_payload(shop: ShopRecord) -> Payload:
    """`customers/data_request`."""
    return {
        **_shop_identity(shop),
        "orders_requested": [299938, 280263],
        "customer": _CUSTOMER,
        "data_request": {"id": 9999},
    }


def customers_redact_payload(shop: ShopRecord) -> Payload:
    """`customers/redact`."""
    return {**_shop_identity(shop), "customer": _CUSTOMER, "orders_to_redact": [299938, 280263]}


def shop_redact_payload(shop: ShopRecord) -> Payload:
    """`shop/redact`."""
    return _shop_identity(shop)


def charge_payload(charge: Charge, shop: ShopRecord, status: str | None = None) -> Payload:
    """`app_subscriptions/update` and `app_purchases_one_time/update`: the latter has no price.

    `status` replaces the charge's own, as an earlier delivery that comes late has it.
    """
    about: Payload = {
        "admin_graphql_api_id": charge.gid,
        "name": charge.name,
        "status": status or charge.status,
        "admin_graphql_api_shop_id": shop.gid,
        "created_at": _local(charge.created_at),
        "updated_at": _local(charge.updated_at),
    }
    if charge.kind == "AppPurchaseOneTime":
        return {"app_purchase_one_time": about}
    priced = {
        "currency": charge.currency,
        "capped_amount": None,
        "price": str(charge.price),
        "interval": charge.interval.lower(),
        "plan_handle": None,
    }
    return {"app_subscription": {**about, **priced}}


_CUSTOMER: Payload = {"id": 191167, "email": "john@example.com", "phone": "555-625-1199"}


def _shop_identity(shop: ShopRecord) -> Payload:
    return {"shop_id": shop.number, "shop_domain": shop.domain}


def _variant(variant: Variant, product: ProductRecord) -> Payload:
    return {
        "id": variant.id,
        "product_id": product.id,
        "admin_graphql_api_id": variant.gid,
        "title": variant.title,
        "price": variant.price,
        "position": variant.position,
        "image_id": variant.media_id,
        "created_at": _local(product.created_at),
        "updated_at": _local(product.updated_at),
    }


def _image(media: Media, product: ProductRecord) -> Payload:
    return {
        **_placed(media, product),
        "width": media.picture.width,
        "height": media.picture.height,
        "src": media.url,
        "created_at": _local(media.created_at),
        "updated_at": _local(media.updated_at),
    }


def _media(media: Media, product: ProductRecord) -> Payload:
    ready = media.status == "READY"
    preview = {"width": media.picture.width, "height": media.picture.height, "src": media.url}
    return {
        **_placed(media, product),
        "status": media.status,
        "media_content_type": media.content_type,
        "preview_image": {
            **(preview if ready else dict.fromkeys(preview)),
            "status": media.status,
        },
        "created_at": _zulu(media.created_at),
        "updated_at": _zulu(media.updated_at),
    }


def _placed(media: Media, product: ProductRecord) -> Payload:
    """What of a picture its product knows."""
    gallery = [shown.id for shown in product.media]
    return {
        "id": media.id,
        "product_id": product.id,
        "position": gallery.index(media.id) + 1,
        "alt": media.alt,
        "variant_ids": [each.id for each in product.variants if each.media_id == media.id],
        "admin_graphql_api_id": media.gid,
    }


def _local(at: datetime) -> str:
    return at.astimezone(_NEW_YORK).isoformat(timespec="seconds")


def _zulu(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
