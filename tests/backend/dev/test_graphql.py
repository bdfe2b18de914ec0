"""The little GraphQL of the stand-in."""

from typing import Any

import pytest

from backend.dev.shopify import graphql
from backend.dev.shopify.graphql import FieldDenied, connection


def _denied(arguments):
    raise FieldDenied("no", "ACCESS_DENIED")


ROOT = {
    "__typename": "QueryRoot",
    "echo": repr,
    "secret": _denied,
    "missing": None,
    "picture": {
        "__typename": "MediaImage",
        "id": "gid://1",
        "... on MediaImage": {"id": "gid://1", "mimeType": "image/png"},
    },
    "pictures": connection(
        "Connection", [{"__typename": "Item", "id": str(number)} for number in range(3)]
    ),
}


def execute(document: str, variables: dict[str, object]) -> dict[str, Any]:
    return graphql.execute(document, variables, ROOT)


def test_only_what_is_asked_for_is_answered():
    assert execute("{ picture { id } }", {}) == {"data": {"picture": {"id": "gid://1"}}}


def test_variables_aliases_comments_and_every_kind_of_argument_are_understood():
    document = """
    query Name($id: ID!, $other: [Int!]) {  # a comment
      first: echo(a: $id, b: [1, -2.5], c: {d: "x\\"y", e: RED}, f: true, g: null)
    }
    """
    answer = execute(document, {"id": "7"})
    expected = {"a": "7", "b": [1, -2.5], "c": {"d": 'x"y', "e": "RED"}, "f": True, "g": None}
    assert answer == {"data": {"first": repr(expected)}}


def test_a_field_of_one_type_needs_an_inline_fragment():
    document = "{ picture { id ... on MediaImage { mimeType __typename } ... on Video { id } } }"
    assert execute(document, {}) == {
        "data": {"picture": {"id": "gid://1", "mimeType": "image/png", "__typename": "MediaImage"}}
    }
    bare = execute("{ picture { mimeType } }", {})
    assert bare["errors"][0]["extensions"]["code"] == "undefinedField"


def test_a_denied_field_is_null_and_the_others_are_answered():
    answer = execute("{ secret { id } picture { id } }", {})
    assert answer["data"] == {"secret": None, "picture": {"id": "gid://1"}}
    assert answer["errors"][0]["path"] == ("secret",)


def test_a_connection_gives_the_first_nodes_and_says_that_there_are_more():
    answer = execute("{ pictures(first: 2) { nodes { id } pageInfo { hasNextPage } } }", {})
    assert answer["data"]["pictures"] == {
        "nodes": [{"id": "0"}, {"id": "1"}],
        "pageInfo": {"hasNextPage": True},
    }
    assert "errors" in execute("{ pictures { nodes { id } } }", {})


def test_null_is_null_whatever_is_selected_of_it():
    assert execute("{ missing { id } }", {}) == {"data": {"missing": None}}


@pytest.mark.parametrize(
    "document",
    [
        "",
        "{",
        "{ }}",
        "{ nope }",
        "{ picture }",
        "{ echo(a: 1) { id } }",
        "{ echo(a: $gone) }",
        '{ echo(a: "\\x") }',
        "{ echo(a: )) }",
        "{ echo(a: %) }",
        "mutation Change { picture { id } }",
        "{ picture { ...named } }",
        "{ picture { id } } { picture { id } }",
    ],
)
def test_what_is_not_understood_is_an_error_without_data(document):
    answer = execute(document, {})
    assert answer["errors"] and "data" not in answer
