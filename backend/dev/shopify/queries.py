"""The resolvers of the query root fields."""

from collections.abc import Callable
from typing import Any

from backend.dev.shopify import search
from backend.dev.shopify.connections import Resolver, connection
from backend.dev.shopify.graphql_context import (
    Arguments,
    GraphQlContext,
    kind_of,
    number_of,
)
from backend.dev.shopify.media import Media
from backend.dev.shopify.products import ProductRecord
from backend.dev.shopify.refusals import access_denied
from backend.dev.shopify.scopes import OPENED_BY, opens_field
from backend.dev.shopify.views import (
    FILE_KEYS,
    PRODUCT_KEYS,
    View,
    collection_view,
    file_facts,
    installation_view,
    media_view,
    product_facts,
    product_view,
    shop_view,
    variant_view,
)

MAX_COUNT = 10_000

_PRODUCT_ORDER: dict[str, Callable[[ProductRecord], Any]] = {
    "TITLE": lambda product: product.title.lower(),
    "UPDATED_AT": lambda product: product.updated_at.timestamp(),
    "CREATED_AT": lambda product: product.created_at.timestamp(),
    "VENDOR": lambda product: product.vendor.lower(),
    "PRODUCT_TYPE": lambda product: product.product_type.lower(),
    "PUBLISHED_AT": lambda product: product.published_at.timestamp() if product.published_at else 0,
}
_FILE_ORDER: dict[str, Callable[[Media], Any]] = {
    "FILENAME": lambda media: media.filename.lower(),
    "CREATED_AT": lambda media: media.created_at.timestamp(),
    "UPDATED_AT": lambda media: media.updated_at.timestamp(),
    "ORIGINAL_UPLOAD_SIZE": lambda media: len(media.picture.content),
}


def query_root(context: GraphQlContext) -> dict[str, Resolver]:
    """A resolver for each field of `QueryRoot`."""
    reads = {
        "shop": lambda _: shop_view(context.shop),
        "shopBillingPreferences": lambda _: {"currency": context.shop.billing_currency},
        "currentAppInstallation": lambda _: _installation(context),
        "node": lambda arguments: _node(context, arguments["id"]),
        "nodes": lambda arguments: [_node(context, gid) for gid in arguments["ids"]],
        "product": lambda arguments: _product(context, arguments["id"]),
        "productVariant": lambda arguments: _variant(context, arguments["id"]),
        "products": lambda arguments: _products(context, arguments),
        "productsCount": lambda arguments: _products_count(context, arguments),
        "collection": lambda arguments: _collection(context, arguments["id"]),
        "files": lambda arguments: _files(context, arguments),
        "job": lambda arguments: _job(context, arguments["id"]),
    }
    return {field: context.query(field, work) for field, work in reads.items()}


def _installation(context: GraphQlContext) -> View:
    context.charges_changed(context.shop.charges.pass_time(context.platform.now()))
    return installation_view(context.shop)


def _node(context: GraphQlContext, gid: str) -> View | None:
    match kind_of(gid):
        case "Product" if opens_field(context.shop.scopes, "product"):
            return _product(context, gid)
        case "ProductVariant" if opens_field(context.shop.scopes, "product"):
            return _variant(context, gid)
        case "Collection" if opens_field(context.shop.scopes, "product"):
            return _collection(context, gid)
        case "MediaImage" | "Video" | "ExternalVideo" | "Model3d":
            media = context.catalogue.media(context.shop.number, gid)
            return None if media is None else media_view(media)
        case "Product" | "ProductVariant" | "Collection":
            raise access_denied("node", OPENED_BY["product"])
        case _:
            return None


def _product(context: GraphQlContext, gid: str) -> View | None:
    product = context.product(gid)
    return None if product is None else product_view(context, product)


def _variant(context: GraphQlContext, gid: str) -> View | None:
    number = number_of(gid, "ProductVariant")
    return next(
        (
            variant_view(context, product, variant)
            for product in context.catalogue.products(context.shop.number)
            for variant in product.variants
            if variant.id == number
        ),
        None,
    )


def _collection(context: GraphQlContext, gid: str) -> View | None:
    found = context.catalogue.collection(context.shop.number, number_of(gid, "Collection"))
    return None if found is None else collection_view(context, found)


def _found(context: GraphQlContext, query: str | None) -> list[ProductRecord]:
    products = context.catalogue.products(context.shop.number)
    return search.search_rows(products, query, product_facts, PRODUCT_KEYS)


def _products(context: GraphQlContext, arguments: Arguments) -> object:
    sort_key = _PRODUCT_ORDER.get(arguments.get("sortKey") or "ID", _by_id)
    rows = _found(context, arguments.get("query"))
    page = connection(
        rows,
        lambda product: product_view(context, product),
        key=lambda product: [sort_key(product), product.id],
        faults=context.page_faults("products"),
    )
    return page(None, **arguments)


def _products_count(context: GraphQlContext, arguments: Arguments) -> View:
    limit = arguments.get("limit") or MAX_COUNT
    count = len(_found(context, arguments.get("query")))
    return {"count": min(count, limit), "precision": "EXACT" if count <= limit else "AT_LEAST"}


def _files(context: GraphQlContext, arguments: Arguments) -> object:
    sort_key = _FILE_ORDER.get(arguments.get("sortKey") or "ID", _by_id)
    files = context.catalogue.library.of_shop(context.shop.number)
    rows = search.search_rows(files, arguments.get("query"), file_facts, FILE_KEYS)
    page = connection(
        rows,
        media_view,
        key=lambda media: [sort_key(media), media.id],
        faults=context.page_faults("files"),
    )
    return page(None, **arguments)


def _job(context: GraphQlContext, gid: str) -> View | None:
    job = next((work for work in context.shop.work if work.gid == gid), None)
    is_job = job is not None and kind_of(gid) == "Job"
    return {"id": gid, "done": job.is_done} if job is not None and is_job else None


def _by_id(row: ProductRecord | Media) -> int:
    return row.id
