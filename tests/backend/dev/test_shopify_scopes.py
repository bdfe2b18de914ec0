"""Every field of the Admin API needs its scope."""

from typing import Any

import pytest

from backend.dev.shopify.scopes import OPENED_BY
from tests.backend.dev.calls import SHOP

pytestmark = pytest.mark.slow

PRODUCT = '"gid://shopify/Product/1"'
ERRORS = "{ userErrors { field } }"
CALLS = {
    "node": f"{{ node(id: {PRODUCT}) {{ id }} }}",
    "nodes": f"{{ nodes(ids: [{PRODUCT}]) {{ id }} }}",
    "files": "{ files(first: 1) { nodes { id } } }",
    "product": f"{{ product(id: {PRODUCT}) {{ id }} }}",
    "products": "{ products(first: 1) { nodes { id } } }",
    "productsCount": "{ productsCount { count } }",
    "productVariant": '{ productVariant(id: "gid://shopify/ProductVariant/1") { id } }',
    "collection": '{ collection(id: "gid://shopify/Collection/1") { id } }',
    "fileCreate": "mutation { fileCreate(files: []) { userErrors { code } } }",
    "fileUpdate": "mutation { fileUpdate(files: []) { userErrors { code } } }",
    "fileDelete": "mutation { fileDelete(fileIds: []) { userErrors { code } } }",
    "stagedUploadsCreate": "mutation { stagedUploadsCreate(input: []) { userErrors { field } } }",
    "productUpdate": f"mutation {{ productUpdate(product: {{id: {PRODUCT}}}) {ERRORS} }}",
    "productReorderMedia": (
        f"mutation {{ productReorderMedia(id: {PRODUCT}, moves: []) {{ job {{ id }} }} }}"
    ),
    "productVariantAppendMedia": (
        f"mutation {{ productVariantAppendMedia(productId: {PRODUCT}, variantMedia: []) {ERRORS} }}"
    ),
    "productVariantDetachMedia": (
        f"mutation {{ productVariantDetachMedia(productId: {PRODUCT}, variantMedia: []) {ERRORS} }}"
    ),
}


def denied(answer: dict[str, Any]) -> bool:
    return [error["extensions"]["code"] for error in answer.get("errors", [])] == ["ACCESS_DENIED"]


def test_every_field_that_needs_a_scope_is_tested_here():
    assert CALLS.keys() == OPENED_BY.keys()


@pytest.mark.parametrize("field", CALLS)
async def test_a_field_is_denied_without_its_scope(shopify, app, field):
    shopify.set_scopes(SHOP, ["read_orders"])
    answer = await app.answer(CALLS[field])
    assert denied(answer), answer
    assert OPENED_BY[field][0] in answer["errors"][0]["extensions"]["requiredAccess"]


@pytest.mark.parametrize(
    ("field", "scope"), [(field, scope) for field, scopes in OPENED_BY.items() for scope in scopes]
)
async def test_each_of_a_fields_scopes_is_enough(shopify, app, field, scope):
    shopify.set_scopes(SHOP, [scope])
    answer = await app.answer(CALLS[field])
    # Any kind of node can be asked for, but a product needs the products' scope.
    by_kind = field in ("node", "nodes") and scope == "read_files"
    assert denied(answer) == by_kind, answer


@pytest.mark.parametrize("field", ["productUpdate", "fileCreate", "fileUpdate"])
async def test_a_read_scope_does_not_allow_writing(shopify, app, field):
    shopify.set_scopes(SHOP, ["read_products", "read_files"])
    assert denied(await app.answer(CALLS[field]))


async def test_a_write_scope_allows_reading(shopify, app):
    shopify.set_scopes(SHOP, ["write_products"])
    assert not denied(await app.answer(CALLS["products"]))
    assert denied(await app.answer(CALLS["files"]))


async def test_a_denied_mutation_does_nothing(shopify, app):
    product = shopify.create_product(SHOP, "Tee", None)
    shopify.set_scopes(SHOP, ["read_products"])
    document = (
        'mutation ($id: ID!) { productUpdate(product: {id: $id, title: "x"}) { product { id } } }'
    )
    assert denied(await app.answer(document, id=product.gid))
    assert shopify.current(product).title == "Tee"
