"""What the Admin GraphQL API 2026-10 says of a shop, in the shape `graphql.execute` reads.

Covers what the backend reads: `product`, `shop` and `currentAppInstallation`.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime

from backend.dev.shopify.catalogue import Media, Product
from backend.dev.shopify.graphql import Arguments, FieldDenied, QueryError, connection
from backend.dev.shopify.state import Platform, Shop

API_VERSIONS = ("2026-07", "2026-10")

_PRODUCT_GID = re.compile(r"gid://shopify/Product/([0-9]{1,19})")


def query_root(platform: Platform, shop: Shop) -> dict[str, object]:
    """Return the fields of QueryRoot for this shop."""

    def product(arguments: Arguments) -> object:
        if not shop.may_read("products"):
            raise _access_denied("product", "read_products")
        found = platform.catalogue.product(shop.number, _product_id(arguments.get("id")))
        return None if found is None else _product(found)

    return {
        "__typename": "QueryRoot",
        "product": product,
        "shop": _shop(shop),
        "currentAppInstallation": _installation(shop),
    }


def _product_id(gid: object) -> int:
    found = _PRODUCT_GID.fullmatch(str(gid))
    if found is None:
        raise QueryError(f"Invalid global id '{gid}'", "argumentLiteralsIncompatible")
    return int(found[1])


def _access_denied(field: str, scope: str) -> FieldDenied:
    required = f"`{scope}` access scope."
    return FieldDenied(
        f"Access denied for {field} field. Required access: {required}",
        "ACCESS_DENIED",
        documentation="https://shopify.dev/api/usage/access-scopes",
        requiredAccess=required,
    )


def _product(product: Product) -> dict[str, object]:
    media = [_media(each, product.title) for each in product.media]
    return {
        "__typename": "Product",
        "id": product.gid,
        "title": product.title,
        "handle": product.handle,
        "status": product.status,
        "createdAt": _timestamp(product.created_at),
        "updatedAt": _timestamp(product.updated_at),
        "featuredMedia": media[0] if media else None,
        "media": connection("MediaConnection", media),
    }


def _media(media: Media, alt: str) -> dict[str, object]:
    """The interface Media, and behind `... on MediaImage` what is only that type's."""
    interface: dict[str, object] = {
        "id": media.gid,
        "alt": alt,
        "mediaContentType": "IMAGE",
        "status": "READY",
        "mediaErrors": [],
    }
    return {
        "__typename": "MediaImage",
        **interface,
        "... on MediaImage": {**interface, **_media_image(media)},
    }


def _media_image(media: Media) -> Mapping[str, object]:
    picture = media.picture
    return {
        "createdAt": _timestamp(media.created_at),
        "updatedAt": _timestamp(media.created_at),
        "fileStatus": "READY",
        "fileErrors": [],
        "mimeType": picture.content_type,
        "image": {
            "__typename": "Image",
            "id": media.gid.replace("MediaImage", "ImageSource"),
            "url": media.url,
            "width": picture.width,
            "height": picture.height,
            "altText": None,
        },
        "originalSource": {
            "__typename": "MediaImageOriginalSource",
            "url": media.url,
            "fileSize": len(picture.content),
        },
    }


def _shop(shop: Shop) -> dict[str, object]:
    return {
        "__typename": "Shop",
        "id": shop.gid,
        "name": shop.domain.partition(".")[0],
        "myshopifyDomain": shop.domain,
    }


def _installation(shop: Shop) -> dict[str, object]:
    return {
        "__typename": "AppInstallation",
        "id": f"gid://shopify/AppInstallation/{shop.number}",
        "accessScopes": [
            {"__typename": "AccessScope", "handle": scope} for scope in sorted(shop.scopes)
        ],
    }


def _timestamp(at: datetime) -> str:
    """Whole seconds in UTC, as GraphQL's DateTime has them."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
