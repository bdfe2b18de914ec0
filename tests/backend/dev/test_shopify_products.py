"""Products of the stand-in: their media, order and variants, and lists of them, over HTTP."""

from datetime import timedelta
from typing import Any

import httpx
import pytest

from backend.dev.shopify import ProductRecord, StandInShopify
from tests.backend.dev.calls import (
    APPEND,
    GARMENT,
    OTHER_SHOP,
    POLL,
    REORDER,
    SHOP,
    png,
    reordered,
    uploaded,
)

pytestmark = pytest.mark.slow

GALLERY = """
query Gallery($id: ID!) {
  product(id: $id) {
    title status mediaCount { count precision }
    featuredMedia { id }
    media(first: 250) { nodes { id alt status ... on MediaImage { image { url } } } }
    variants(first: 10) {
      nodes { id title position price media(first: 1) { nodes { id } } product { id } }
    }
  }
}
"""
JOB = "query Job($id: ID!) { job(id: $id) { id done } }"
VARIANT_MEDIA = """
mutation Link($id: ID!, $pairs: [ProductVariant%sMediaInput!]!) {
  productVariant%sMedia(productId: $id, variantMedia: $pairs) {
    product { id } productVariants { id media(first: 1) { nodes { id } } }
    userErrors { code field message }
  }
}
"""
LINK = VARIANT_MEDIA % ("Append", "Append")
UNLINK = VARIANT_MEDIA % ("Detach", "Detach")
PRODUCTS = """
query Products(
  $first: Int, $after: String, $query: String, $sortKey: ProductSortKeys, $reverse: Boolean
) {
  products(first: $first, after: $after, query: $query, sortKey: $sortKey, reverse: $reverse) {
    edges { cursor node { title } }
    nodes { id title }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
  }
}
"""
COLLECTION = """
query Collection($id: ID!, $first: Int!, $after: String) {
  collection(id: $id) {
    id title handle productsCount { count }
    products(first: $first, after: $after) {
      nodes { title } pageInfo { hasNextPage endCursor }
    }
  }
}
"""


@pytest.fixture
def product(shopify):
    """A tee with three pictures and two variants."""
    product = shopify.create_product(SHOP, "Tee", GARMENT, variants=("S", "M"))
    for number in range(2):
        product = shopify.add_image(product, png(10, 10 + number), alt=f"Picture {number}")
    return product


def gallery(shopify: StandInShopify, product: ProductRecord) -> list[str]:
    return [media.gid for media in shopify.current(product).media]


# Media


async def test_a_product_lists_its_gallery_in_order(app, product):
    found = await app.data(GALLERY, id=product.gid)
    assert [media["id"] for media in found["media"]["nodes"]] == [m.gid for m in product.media]
    assert [media["alt"] for media in found["media"]["nodes"]] == ["Tee", "Picture 0", "Picture 1"]
    assert found["featuredMedia"]["id"] == product.media_gid
    assert found["mediaCount"] == {"count": 3, "precision": "EXACT"}
    assert [v["title"] for v in found["variants"]["nodes"]] == ["S", "M"]


async def test_appended_media_come_last_and_are_processed(shopify, app, product):
    source = await uploaded(app)
    media = [{"originalSource": source, "mediaContentType": "IMAGE", "alt": "On a model"}]
    payload = await app.data(APPEND, product={"id": product.gid}, media=media)
    nodes = payload["product"]["media"]["nodes"]
    assert [node["id"] for node in nodes[:3]] == [each.gid for each in product.media]
    assert (nodes[3]["alt"], nodes[3]["status"]) == ("On a model", "UPLOADED")
    await app.data(POLL, id=nodes[3]["id"])
    assert (await app.data(POLL, id=nodes[3]["id"]))["fileStatus"] == "READY"


async def test_an_external_source_can_be_appended(shopify, app, product, internet):
    url = "https://bucket.example/final.jpg"
    internet[url] = httpx.Response(200, content=GARMENT.read_bytes())
    media = [{"originalSource": url, "mediaContentType": "IMAGE"}]
    await app.data(APPEND, product={"id": product.gid}, media=media)
    await shopify.step_files(2)
    assert shopify.current(product).media[3].picture.content == GARMENT.read_bytes()


@pytest.mark.parametrize(
    ("media", "field"),
    [
        ({"originalSource": "http://bucket.example/a.jpg"}, "originalSource"),
        ({"alt": "x" * 513}, "alt"),
        ({"mediaContentType": "VIDEO"}, "1"),
    ],
)
async def test_invalid_media_refuse_the_whole_call(shopify, app, product, media, field):
    good = {"originalSource": "https://bucket.example/a.jpg", "mediaContentType": "IMAGE"}
    payload = await app.data(
        APPEND, product={"id": product.gid, "title": "New"}, media=[good, {**good, **media}]
    )
    assert payload["product"] is None
    assert payload["userErrors"][0]["field"][-1] == field
    assert shopify.current(product) == product


async def test_no_more_than_250_media_are_appended(shopify, app, product):
    for _ in range(247):
        shopify.add_image(product, b"x")
    media = [{"originalSource": "https://b.example/a.jpg", "mediaContentType": "IMAGE"}]
    payload = await app.data(APPEND, product={"id": product.gid}, media=media)
    assert "limit of media" in payload["userErrors"][0]["message"]
    assert len(gallery(shopify, product)) == 250


async def test_a_title_and_a_status_can_be_changed(shopify, app, product, clock):
    clock.now += 60
    changes = {"id": product.gid, "title": "Shirt", "status": "ARCHIVED"}
    payload = await app.data(APPEND, product=changes)
    assert (payload["product"]["title"], payload["product"]["status"]) == ("Shirt", "ARCHIVED")
    assert shopify.current(product).updated_at - product.updated_at == timedelta(seconds=60)
    blank = await app.data(APPEND, product={"id": product.gid, "title": " "})
    assert blank["userErrors"][0]["field"] == ["title"]


async def test_a_foreign_or_deleted_product_is_not_changed(shopify, app, product):
    foreign = shopify.create_product(OTHER_SHOP, "Theirs", None)
    shopify.delete_product(product)
    for each in (foreign, product):
        payload = await app.data(APPEND, product={"id": each.gid, "title": "Mine"})
        assert payload["userErrors"] == [{"field": ["id"], "message": "Product does not exist"}]
        assert await app.refusal(REORDER, id=each.gid, moves=[]) == "PRODUCT_DOES_NOT_EXIST"
        assert await app.refusal(LINK, id=each.gid, pairs=[]) == "PRODUCT_DOES_NOT_EXIST"
    assert shopify.current(foreign).title == "Theirs"


async def test_an_id_of_another_type_is_a_top_level_error(app, product):
    answer = await app.answer(APPEND, product={"id": product.media_gid})
    assert answer["errors"][0]["extensions"]["code"] == "argumentLiteralsIncompatible"


# Order


async def test_media_are_reordered_by_a_job(shopify, app, product):
    first, second, third = gallery(shopify, product)
    job = await reordered(app, product, (third, 0))
    assert job["done"] is False
    assert gallery(shopify, product) == [first, second, third], "not before the job is done"
    assert (await app.data(JOB, id=job["id"]))["done"] is False
    assert (await app.data(JOB, id=job["id"]))["done"] is True
    assert gallery(shopify, product) == [third, first, second]


@pytest.mark.parametrize(
    ("moves", "expected"),
    [
        ([(0, 2)], [1, 2, 0]),
        ([(0, 99)], [1, 2, 0]),
        ([(2, 0), (1, 0)], [1, 2, 0]),
        ([(1, 1)], [0, 1, 2]),
        ([], [0, 1, 2]),
    ],
)
async def test_moves_are_applied_in_order(shopify, app, product, moves, expected):
    before = gallery(shopify, product)
    await reordered(app, product, *((before[media], to) for media, to in moves))
    shopify.step_jobs(2)
    assert gallery(shopify, product) == [before[media] for media in expected]


async def test_media_of_another_product_cannot_be_moved(shopify, app, product):
    other = shopify.create_product(SHOP, "Other", GARMENT)
    moves = [{"id": other.media_gid, "newPosition": 0}]
    code = await app.refusal(REORDER, id=product.gid, moves=moves)
    assert code == "MEDIA_DOES_NOT_EXIST_ON_PRODUCT"


@pytest.mark.parametrize("position", [-1, "x", 1.5, True, None])
async def test_a_position_must_be_a_whole_number(app, product, position):
    moves = [{"id": product.media_gid, "newPosition": position}]
    answer = await app.answer(REORDER, id=product.gid, moves=moves)
    assert "errors" in answer and "data" not in answer


async def test_an_unknown_job_is_null(app):
    assert await app.data(JOB, id="gid://shopify/Job/1") is None


async def test_a_job_outlives_its_deleted_product(shopify, app, product):
    job = await reordered(app, product, (product.media_gid, 2))
    shopify.delete_product(product)
    shopify.step_jobs(2)
    assert (await app.data(JOB, id=job["id"]))["done"] is True


# Variants


async def test_a_variant_shows_and_hides_an_image(shopify, app, product):
    pair = {"variantId": product.variants[1].gid, "mediaIds": [product.media_gid]}
    payload = await app.data(LINK, id=product.gid, pairs=[pair])
    assert payload["userErrors"] == []
    shown = payload["productVariants"]
    assert [v["media"]["nodes"] for v in shown] == [[{"id": product.media_gid}]]
    found = await app.data(GALLERY, id=product.gid)
    assert [v["media"]["nodes"] for v in found["variants"]["nodes"]] == [
        [],
        [{"id": product.media_gid}],
    ]
    await app.data(UNLINK, id=product.gid, pairs=[pair])
    assert [v.media_id for v in shopify.current(product).variants] == [None, None]


async def test_a_variant_shows_only_one_image(shopify, app, product):
    first, second, _ = gallery(shopify, product)
    variant = product.variants[0].gid
    shopify.show_at_variant(product, variant, first)
    pair = {"variantId": variant, "mediaIds": [second]}
    code = await app.refusal(LINK, id=product.gid, pairs=[pair])
    assert code == "PRODUCT_VARIANT_ALREADY_HAS_MEDIA"
    pair["mediaIds"] = [first, second]
    code = await app.refusal(UNLINK, id=product.gid, pairs=[pair])
    assert code == "TOO_MANY_MEDIA_PER_INPUT_PAIR"


async def test_unrelated_media_and_variants_are_not_linked(shopify, app, product):
    other = shopify.create_product(SHOP, "Other", GARMENT)
    mine, theirs = product.variants[0].gid, other.variants[0].gid
    for document, pairs, code in (
        (LINK, [(mine, other.media_gid)], "MEDIA_DOES_NOT_EXIST_ON_PRODUCT"),
        (LINK, [(theirs, product.media_gid)], "PRODUCT_VARIANT_DOES_NOT_EXIST_ON_PRODUCT"),
        (LINK, [("nonsense", product.media_gid)], "PRODUCT_VARIANT_DOES_NOT_EXIST_ON_PRODUCT"),
        (UNLINK, [(mine, product.media_gid)], "MEDIA_IS_NOT_ATTACHED_TO_VARIANT"),
        (LINK, [(mine, product.media_gid)] * 2, "PRODUCT_VARIANT_SPECIFIED_MULTIPLE_TIMES"),
        (LINK, [(mine, product.media_gid)] * 101, "MAXIMUM_VARIANT_MEDIA_PAIRS_EXCEEDED"),
    ):
        wanted = [{"variantId": variant, "mediaIds": [media]} for variant, media in pairs]
        assert await app.refusal(document, id=product.gid, pairs=wanted) == code


async def test_media_that_are_not_ready_cannot_be_linked_to_a_variant(
    shopify, app, product, monkeypatch
):
    monkeypatch.setattr(shopify.platform, "is_held", True)
    media = [{"originalSource": await uploaded(app), "mediaContentType": "IMAGE"}]
    payload = await app.data(APPEND, product={"id": product.gid}, media=media)
    gid = payload["product"]["media"]["nodes"][-1]["id"]
    pair = {"variantId": product.variants[0].gid, "mediaIds": [gid]}
    assert await app.refusal(LINK, id=product.gid, pairs=[pair]) == "NON_READY_MEDIA"


# Lists


def titles(page: dict[str, Any]) -> list[str]:
    return [node["title"] for node in page["nodes"]]


async def test_pages_contain_every_product_once(shopify, app):
    for number in range(7):
        shopify.create_product(SHOP, f"Product {number}", None)
    shopify.create_product(OTHER_SHOP, "Theirs", None)
    seen, after = [], None
    for expected in (True, True, False):
        page = await app.data(PRODUCTS, first=3, after=after)
        assert page["pageInfo"]["hasNextPage"] is expected
        assert page["edges"][-1]["cursor"] == page["pageInfo"]["endCursor"]
        seen += titles(page)
        after = page["pageInfo"]["endCursor"]
    assert seen == [f"Product {number}" for number in range(7)]
    assert (await app.data(PRODUCTS, first=7))["pageInfo"]["hasNextPage"] is False


async def test_a_cursor_survives_deleted_and_new_products(shopify, app):
    products = [shopify.create_product(SHOP, f"Product {number}", None) for number in range(4)]
    page = await app.data(PRODUCTS, first=2)
    shopify.delete_product(products[1])
    shopify.create_product(SHOP, "New", None)
    rest = await app.data(PRODUCTS, first=10, after=page["pageInfo"]["endCursor"])
    assert titles(rest) == ["Product 2", "Product 3", "New"]


async def test_products_are_sorted_both_ways(shopify, app, clock):
    for title in ("b", "a", "c"):
        clock.now += 1
        shopify.create_product(SHOP, title, None)
    for key, expected in (("TITLE", "abc"), ("CREATED_AT", "bac"), ("ID", "bac")):
        for reverse in (False, True):
            page = await app.data(PRODUCTS, first=2, sortKey=key, reverse=reverse)
            after = page["pageInfo"]["endCursor"]
            rest = await app.data(PRODUCTS, first=2, sortKey=key, reverse=reverse, after=after)
            wanted = expected[::-1] if reverse else expected
            assert titles(page) + titles(rest) == list(wanted)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("status:active", ["Navy Tee", "Red Dress"]),
        ("product_type:Shirts", ["Navy Tee"]),
        ("tag:new", ["Navy Tee", "Red Dress"]),
        ("tag:new vendor:'Maison Rouge'", ["Red Dress"]),
        ("tag:new AND tag:blue", ["Navy Tee"]),
        ("navy", ["Navy Tee"]),
        ("title:Navy*", ["Navy Tee"]),
        ("published_status:unpublished", []),
        ("updated_at:>'2026-09-21T14:13:30Z'", ["Red Dress"]),
        ("updated_at:<=2026-09-21T14:13:20Z", ["Navy Tee"]),
        ("", ["Navy Tee", "Red Dress"]),
    ],
)
async def test_products_are_found_by_search_terms(shopify, app, clock, query, expected):
    shopify.create_product(
        SHOP, "Navy Tee", None, product_type="Shirts", tags=("new", "blue"), vendor="Atelier"
    )
    clock.now += 60
    shopify.create_product(SHOP, "Red Dress", None, tags=("new",), vendor="Maison Rouge")
    assert titles(await app.data(PRODUCTS, first=10, query=query)) == expected
    count = "query Count($query: String) { productsCount(query: $query) { count precision } }"
    found = await app.data(count, query=query)
    assert found == {"count": len(expected), "precision": "EXACT"}


async def test_a_count_stops_at_its_limit(shopify, app):
    for _ in range(3):
        shopify.create_product(SHOP, "Tee", None)
    found = await app.data("{ productsCount(limit: 2) { count precision } }")
    assert found == {"count": 2, "precision": "AT_LEAST"}


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"first": 0},
        {"first": -1},
        {"first": 251},
        {"first": 1, "after": "nonsense"},
        {"first": 1, "after": "W10="},
        {"first": 1, "after": "WyJ4Il0="},
        {"first": 1, "query": "colour:red"},
        {"first": 1, "query": "updated_at:>yesterday"},
    ],
)
async def test_invalid_page_arguments_are_an_error(shopify, app, variables):
    shopify.create_product(SHOP, "Tee", None)
    answer = await app.answer(PRODUCTS, **variables)
    assert answer.get("data") is None and answer["errors"]


async def test_a_collection_lists_its_products_in_order(shopify, app):
    products = [shopify.create_product(SHOP, title, None) for title in ("a", "b", "c", "d")]
    collection = shopify.create_collection(SHOP, "Best", products[::-1])
    shopify.delete_product(products[2])
    first = await app.data(COLLECTION, id=collection.gid, first=2)
    assert (first["title"], first["productsCount"]) == ("Best", {"count": 3})
    assert titles(first["products"]) == ["d", "b"]
    after = first["products"]["pageInfo"]["endCursor"]
    rest = await app.data(COLLECTION, id=collection.gid, first=2, after=after)
    assert titles(rest["products"]) == ["a"]
    assert rest["products"]["pageInfo"]["hasNextPage"] is False


async def test_another_shops_collection_is_null(shopify, app):
    foreign = shopify.create_collection(OTHER_SHOP, "Theirs", [])
    assert await app.data(COLLECTION, id=foreign.gid, first=1) is None


async def test_nodes_of_every_type_are_found_by_id(shopify, app, product):
    collection = shopify.create_collection(SHOP, "Best", [product])
    document = "query Nodes($ids: [ID!]!) { nodes(ids: $ids) { __typename id } }"
    gids = [product.gid, product.variants[1].gid, product.media_gid, collection.gid]
    found = await app.data(document, ids=[*gids, "gid://shopify/Product/1", "nonsense"])
    assert [node and node["id"] for node in found] == [*gids, None, None]
    kinds = [node["__typename"] for node in found[:4]]
    assert kinds == ["Product", "ProductVariant", "MediaImage", "Collection"]


# What the merchant does


async def test_the_merchant_can_move_describe_and_remove_images(shopify, app, product):
    first, second, third = gallery(shopify, product)
    shopify.move_image(product, third, 0)
    shopify.set_alt(product, second, "Back")
    shopify.remove_image(product, first)
    found = await app.data(GALLERY, id=product.gid)
    assert [(m["id"], m["alt"]) for m in found["media"]["nodes"]] == [
        (third, "Picture 1"),
        (second, "Back"),
    ]


async def test_a_product_webhook_contains_positions_alts_and_variants(shopify, product):
    shopify.show_at_variant(product, product.variants[1].gid, product.media[2].gid)
    body = shopify.payload(SHOP, "products/update")
    assert [media["position"] for media in body["media"]] == [1, 2, 3]
    assert [media["alt"] for media in body["media"]] == ["Tee", "Picture 0", "Picture 1"]
    assert [media["variant_ids"] for media in body["media"]] == [[], [], [product.variants[1].id]]
    assert [variant["image_id"] for variant in body["variants"]] == [None, product.media[2].id]
    assert len(body["images"]) == 3 and len(body["variant_gids"]) == 2
