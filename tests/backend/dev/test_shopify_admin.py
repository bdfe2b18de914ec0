"""The Admin API's schema and its answers, without HTTP."""

from dataclasses import replace

import pytest

from backend.dev.shopify import StandInShopify, admin

pytestmark = pytest.mark.slow

SHOP = "a-shop.myshopify.com"


@pytest.fixture
def shopify():
    shopify = StandInShopify(api_key="key", secret="hush")
    shopify.create_shop(SHOP)
    return shopify


@pytest.fixture
def product(shopify):
    return shopify.create_product(SHOP, "Navy Tee", b"x")


@pytest.fixture
def ask(shopify, product):
    """Ask about the product, as `$id`, if the document does not say otherwise."""

    def ask(document, operation_name=None, **variables):
        shop = shopify.platform.shops[SHOP]
        variables = {"id": product.gid, **variables}
        return admin.answer(shopify.platform, shop, document, variables, operation_name)

    return ask


def test_variables_aliases_comments_and_directives_are_supported(ask):
    document = """
    query Name($id: ID!, $brief: Boolean = true) {  # a comment
      mine: product(id: $id) { title handle @skip(if: $brief) __typename }
    }
    """
    assert ask(document) == {"data": {"mine": {"title": "Navy Tee", "__typename": "Product"}}}


def test_a_field_of_one_type_needs_a_fragment(ask):
    media = "query ($id: ID!) { product(id: $id) { featuredMedia { %s } } }"
    expected = {"data": {"product": {"featuredMedia": {"mimeType": "image/jpeg"}}}}
    assert ask(media % "... on MediaImage { mimeType } ... on Video { id }") == expected
    named = "fragment Picture on MediaImage { mimeType }"
    assert ask(media % "...Picture" + named) == expected
    (error,) = ask(media % "mimeType")["errors"]
    assert error["extensions"]["code"] == "undefinedField"


def test_a_denied_field_is_null_and_others_are_answered(shopify, ask):
    shopify.set_scopes(SHOP, ["write_files"])
    answer = ask("query ($id: ID!) { product(id: $id) { id } shop { name } }")
    assert answer["data"] == {"product": None, "shop": {"name": "a-shop"}}
    (error,) = answer["errors"]
    assert (error["path"], error["extensions"]["code"]) == (["product"], "ACCESS_DENIED")


def test_a_connection_returns_the_first_nodes_and_has_next_page(shopify, product, ask, monkeypatch):
    three = replace(product, media=product.media * 3)
    monkeypatch.setattr(shopify.platform.catalogue, "product", lambda *_: three)
    media = "query ($id: ID!) { product(id: $id) { media%s { nodes { id } pageInfo { %s } } } }"
    assert ask(media % ("(first: 2)", "hasNextPage"))["data"]["product"]["media"] == {
        "nodes": [{"id": product.media_gid}] * 2,
        "pageInfo": {"hasNextPage": True},
    }
    assert ask(media % ("", "hasNextPage"))["errors"][0]["extensions"]["code"] == "BAD_REQUEST"


def test_every_field_of_the_schema_has_a_value(ask):
    document = """
    query ($id: ID!) {
      shop { id name myshopifyDomain }
      currentAppInstallation { id accessScopes { handle description } }
      product(id: $id) {
        id title handle status createdAt updatedAt
        media(first: 1) { nodes { ...Picture } pageInfo { hasNextPage hasPreviousPage } }
      }
    }
    fragment Picture on MediaImage {
      id alt mediaContentType status createdAt updatedAt fileStatus mimeType
      mediaErrors { code details message } fileErrors { code details message }
      image { ...Every } preview { status image { ...Every } } originalSource { url fileSize }
    }
    fragment Every on Image { id url width height altText }
    """
    assert "errors" not in ask(document)


@pytest.mark.parametrize(
    "document",
    [
        "",
        "{",
        "{ shop { id } }}",
        "{ nope }",
        "{ shop }",
        "{ shop { id { id } } }",
        "{ product { id } }",
        "{ product(id: []) { id } }",
        "{ product(id: $gone) { id } }",
        "{ product(id: %) { id } }",
        '{ product(id: "\\x") { id } }',
        "query ($gone: ID!) { product(id: $gone) { id } }",
        "query ($id: Int) { product(id: $id) { id } }",
        "mutation Change { shop { id } }",
        "{ shop { ...Unknown } }",
        "{ shop { id } } { shop { id } }",
        "subscription { shop { id } }",
        "{ shop { ...A } } fragment A on Shop { ...A }",
        "query A { shop { id } } query B { shop { id } }",
    ],
)
def test_an_invalid_document_is_an_error_without_data(ask, document):
    answer = ask(document)
    assert answer["errors"] and "data" not in answer


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("{ shop { %s } }" % ("id " * admin.MAX_TOKENS), "more than 1000 tokens"),
        ("{ shop " * 300 + "}" * 300, "nested too deeply"),
    ],
)
def test_a_document_that_is_too_long_or_too_deep_is_refused(ask, document, message):
    assert message in ask(document)["errors"][0]["message"]


def test_an_unknown_operation_name_is_an_error(ask):
    assert "data" not in ask("query A { shop { id } }", operation_name="B")
