"""The root fields that read."""

from collections.abc import Callable
from typing import Any

from backend.dev.shopify import search
from backend.dev.shopify.caller import Asked, Caller, Resolver, kind_of, number_of
from backend.dev.shopify.connections import connection
from backend.dev.shopify.media import Media
from backend.dev.shopify.products import Product
from backend.dev.shopify.refusals import access_denied
from backend.dev.shopify.scopes import OPENED_BY, covers
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

_PRODUCT_ORDER: dict[str, Callable[[Product], Any]] = {
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


def query_root(caller: Caller) -> dict[str, Resolver]:
    """A resolver for each field of `QueryRoot`."""
    reads = {
        "shop": lambda _: shop_view(caller.shop),
        "currentAppInstallation": lambda _: installation_view(caller.shop),
        "node": lambda asked: _node(caller, asked["id"]),
        "nodes": lambda asked: [_node(caller, gid) for gid in asked["ids"]],
        "product": lambda asked: _product(caller, asked["id"]),
        "productVariant": lambda asked: _variant(caller, asked["id"]),
        "products": lambda asked: _products(caller, asked),
        "productsCount": lambda asked: _products_count(caller, asked),
        "collection": lambda asked: _collection(caller, asked["id"]),
        "files": lambda asked: _files(caller, asked),
        "job": lambda asked: _job(caller, asked["id"]),
    }
    return {field: caller.query(field, work) for field, work in reads.items()}


def _node(caller: Caller, gid: str) -> View | None:
    match kind_of(gid):
        case "Product" if covers(caller.shop.scopes, "product"):
            return _product(caller, gid)
        case "ProductVariant" if covers(caller.shop.scopes, "product"):
            return _variant(caller, gid)
        case "Collection" if covers(caller.shop.scopes, "product"):
            return _collection(caller, gid)
        case "MediaImage":
            media = caller.catalogue.media(caller.shop.number, gid)
            return None if media is None else media_view(media)
        case "Product" | "ProductVariant" | "Collection":
            raise access_denied("node", OPENED_BY["product"])
        case _:
            return None


def _product(caller: Caller, gid: str) -> View | None:
    product = caller.product(gid)
    return None if product is None else product_view(caller, product)


def _variant(caller: Caller, gid: str) -> View | None:
    number = number_of(gid, "ProductVariant")
    return next(
        (
            variant_view(caller, product, variant)
            for product in caller.catalogue.products(caller.shop.number)
            for variant in product.variants
            if variant.id == number
        ),
        None,
    )


def _collection(caller: Caller, gid: str) -> View | None:
    found = caller.catalogue.collection(caller.shop.number, number_of(gid, "Collection"))
    return None if found is None else collection_view(caller, found)


def _found(caller: Caller, query: str | None) -> list[Product]:
    products = caller.catalogue.products(caller.shop.number)
    return search.found(products, query, product_facts, PRODUCT_KEYS)


def _products(caller: Caller, asked: Asked) -> object:
    sort_key = _PRODUCT_ORDER.get(asked.get("sortKey") or "ID", _by_id)
    rows = _found(caller, asked.get("query"))
    page = connection(
        rows,
        lambda product: product_view(caller, product),
        key=lambda product: [sort_key(product), product.id],
    )
    return page(None, **asked)


def _products_count(caller: Caller, asked: Asked) -> View:
    limit = asked.get("limit") or MAX_COUNT
    count = len(_found(caller, asked.get("query")))
    return {"count": min(count, limit), "precision": "EXACT" if count <= limit else "AT_LEAST"}


def _files(caller: Caller, asked: Asked) -> object:
    sort_key = _FILE_ORDER.get(asked.get("sortKey") or "ID", _by_id)
    files = caller.catalogue.library.of_shop(caller.shop.number)
    rows = search.found(files, asked.get("query"), file_facts, FILE_KEYS)
    page = connection(rows, media_view, key=lambda media: [sort_key(media), media.id])
    return page(None, **asked)


def _job(caller: Caller, gid: str) -> View | None:
    job = next((work for work in caller.shop.work if work.gid == gid), None)
    is_job = job is not None and kind_of(gid) == "Job"
    return {"id": gid, "done": job.is_done} if job is not None and is_job else None


def _by_id(row: Product | Media) -> int:
    return row.id
