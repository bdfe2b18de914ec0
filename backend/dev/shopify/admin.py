"""What the Admin GraphQL API 2026-10 says of a shop.

`admin.graphql` is its schema and graphql-core its engine; here are the values of the fields. A
value is a mapping by field name, and a function where the field takes arguments.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from graphql import (
    FieldsOnCorrectTypeRule,
    GraphQLError,
    build_schema,
    graphql_sync,
    specified_rules,
)

from backend.dev.shopify.catalogue import Media, Product
from backend.dev.shopify.state import Platform, Shop

API_VERSIONS = ("2026-07", "2026-10")
MAX_TOKENS = 1000  # in one document

_SCHEMA = build_schema(Path(__file__).with_suffix(".graphql").read_text("utf-8"))
_PRODUCT_GID = re.compile(r"gid://shopify/Product/([0-9]{1,19})")


class _FieldsExist(FieldsOnCorrectTypeRule):
    """The rule that fields exist, with Shopify's code for what breaks it."""

    def report_error(self, error: GraphQLError) -> None:
        error.extensions = {"code": "undefinedField"}
        super().report_error(error)


_RULES = [_FieldsExist if rule is FieldsOnCorrectTypeRule else rule for rule in specified_rules]


def answer(
    platform: Platform,
    shop: Shop,
    document: str,
    variables: dict[str, object] | None = None,
    operation_name: str | None = None,
) -> dict[str, object]:
    """Answer a query of this shop: `data` and `errors`, each only where there are any."""
    result = graphql_sync(
        _SCHEMA,
        document,
        _query_root(platform, shop),
        variable_values=variables,
        operation_name=operation_name,
        rules=_RULES,
        max_lexical_tokens=MAX_TOKENS,
    )
    return {part: value for part, value in result.formatted.items() if value is not None}


def _query_root(platform: Platform, shop: Shop) -> dict[str, object]:
    def product(_info: object, **asked: str) -> object:
        if not shop.may_read("products"):
            raise _access_denied("product", "read_products")
        found = platform.catalogue.product(shop.number, _product_id(asked["id"]))
        return None if found is None else _product(found)

    return {
        "product": product,
        "shop": _shop(shop),
        "currentAppInstallation": _installation(shop),
    }


def _product_id(gid: str) -> int:
    found = _PRODUCT_GID.fullmatch(gid)
    if found is None:
        raise _error(f"Invalid global id '{gid}'", "argumentLiteralsIncompatible")
    return int(found[1])


def _access_denied(field: str, scope: str) -> GraphQLError:
    required = f"`{scope}` access scope."
    return _error(
        f"Access denied for {field} field. Required access: {required}",
        "ACCESS_DENIED",
        documentation="https://shopify.dev/api/usage/access-scopes",
        requiredAccess=required,
    )


def _error(message: str, code: str, **extensions: str) -> GraphQLError:
    return GraphQLError(message, extensions={"code": code, **extensions})


def _product(product: Product) -> dict[str, object]:
    media = [_media_image(each, product.title) for each in product.media]
    return {
        "id": product.gid,
        "title": product.title,
        "handle": product.handle,
        "status": product.status,
        "createdAt": _timestamp(product.created_at),
        "updatedAt": _timestamp(product.updated_at),
        "featuredMedia": media[0] if media else None,
        "media": partial(_first_page, media),
    }


def _first_page(
    nodes: Sequence[Mapping[str, object]], _info: object, first: int | None = None
) -> dict[str, object]:
    if first is None or not 0 < first <= 250:
        raise _error("you must provide one of first or last", "BAD_REQUEST")
    return {
        "nodes": nodes[:first],
        "pageInfo": {"hasNextPage": len(nodes) > first, "hasPreviousPage": False},
    }


def _media_image(media: Media, alt: str) -> dict[str, object]:
    picture = media.picture
    image = {
        "id": media.gid.replace("MediaImage", "ImageSource"),
        "url": media.url,
        "width": picture.width,
        "height": picture.height,
        "altText": None,
    }
    return {
        "__typename": "MediaImage",
        "id": media.gid,
        "alt": alt,
        "createdAt": _timestamp(media.created_at),
        "updatedAt": _timestamp(media.created_at),
        "mediaContentType": "IMAGE",
        "status": "READY",
        "mediaErrors": [],
        "fileStatus": "READY",
        "fileErrors": [],
        "mimeType": picture.content_type,
        "image": image,
        "preview": {"image": image, "status": "READY"},
        "originalSource": {"url": media.url, "fileSize": len(picture.content)},
    }


def _shop(shop: Shop) -> dict[str, object]:
    return {
        "id": shop.gid,
        "name": shop.domain.partition(".")[0],
        "myshopifyDomain": shop.domain,
    }


def _installation(shop: Shop) -> dict[str, object]:
    return {
        "id": f"gid://shopify/AppInstallation/{shop.number}",
        "accessScopes": [
            {"handle": scope, "description": scope.replace("_", " ").capitalize()}
            for scope in sorted(shop.scopes)
        ],
    }


def _timestamp(at: datetime) -> str:
    """Whole seconds in UTC, as GraphQL's DateTime has them."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
