"""The Admin GraphQL API 2026-10: executes a document and meters its cost.

`admin.graphql` is its schema and graphql-core its engine. Here a document becomes an answer; what
the fields say is in `queries`, `file_mutations` and `product_mutations`.
"""

import re
from collections.abc import Collection
from functools import lru_cache
from pathlib import Path

from graphql import (
    DocumentNode,
    FieldsOnCorrectTypeRule,
    GraphQLError,
    OperationDefinitionNode,
    assert_scalar_type,
    build_schema,
    execute_sync,
    get_variable_values,
    parse,
    specified_rules,
    validate,
)

from backend.dev.shopify import async_steps, refusals
from backend.dev.shopify.billing_mutations import billing_mutations
from backend.dev.shopify.cost import MAX_COST, GraphQlOperation
from backend.dev.shopify.file_mutations import file_mutations
from backend.dev.shopify.graphql_context import GraphQlContext
from backend.dev.shopify.product_mutations import product_mutations
from backend.dev.shopify.queries import query_root
from backend.dev.shopify.state import Platform, ShopRecord

API_VERSIONS = ("2026-01", "2026-04", "2026-07", "2026-10")
"""The stable versions that are supported in November 2026, the oldest first."""
MAX_TOKENS = 1000  # in one document

Variables = dict[str, object]

_SCHEMA = build_schema(Path(__file__).with_suffix(".graphql").read_text("utf-8"))
_VERSION = re.compile(r"[0-9]{4}-(01|04|07|10)")


class _FieldsExist(FieldsOnCorrectTypeRule):
    """The rule that fields exist, with Shopify's code for what breaks it."""

    def report_error(self, error: GraphQLError) -> None:
        error.extensions = {"code": "undefinedField"}
        super().report_error(error)


def _unsigned(value: object) -> int:
    """Read an UnsignedInt64: a JSON number, or a string of digits."""
    if isinstance(value, str) and value.isascii() and value.isdigit():
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise GraphQLError(f"UnsignedInt64 cannot represent {value!r}")


_UNSIGNED = assert_scalar_type(_SCHEMA.type_map["UnsignedInt64"])
_UNSIGNED.coerce_input_value = _unsigned

_RULES = [_FieldsExist if rule is FieldsOnCorrectTypeRule else rule for rule in specified_rules]


class _Invalid(Exception):
    """A document that cannot be executed, with its errors."""

    def __init__(self, errors: Collection[GraphQLError]) -> None:
        super().__init__()
        self.errors = [error.formatted for error in errors]


def served_version(asked: str) -> str | None:
    """The API version that answers; one that has expired falls forward to the oldest supported.

    None for what has never been a version, or is none yet.
    """
    if asked in API_VERSIONS:
        return asked
    has_expired = _VERSION.fullmatch(asked) is not None and asked < API_VERSIONS[0]
    return API_VERSIONS[0] if has_expired else None


def answer(
    platform: Platform,
    shop: ShopRecord,
    document: str,
    variables: Variables | None = None,
    operation_name: str | None = None,
) -> dict[str, object]:
    """Answer a document of this shop: `data` and `errors`, each only where there are any."""
    try:
        asked = _read(document, variables, operation_name)
    except _Invalid as invalid:
        return {"errors": invalid.errors}
    return _execute(GraphQlContext(platform, shop), asked)


def metered_answer(
    platform: Platform,
    shop: ShopRecord,
    document: str,
    variables: Variables | None = None,
    operation_name: str | None = None,
) -> dict[str, object]:
    """`answer` within the shop's rate limit, with its cost; time passes for the shop first.

    A document that is not valid costs nothing.
    """
    try:
        asked = _read(document, variables, operation_name)
    except _Invalid as invalid:
        return {"errors": invalid.errors}
    requested = asked.requested_cost()
    if requested > MAX_COST:
        return {"errors": [refusals.max_cost_exceeded(requested, MAX_COST)]}
    if not shop.bucket.take(requested):
        cost = shop.bucket.cost(requested, None)
        return {"errors": [refusals.throttled()], "extensions": {"cost": cost}}
    if not platform.is_held:
        async_steps.step_all(platform, shop)
    result = _execute(GraphQlContext(platform, shop), asked)
    actual = min(requested, asked.actual_cost(result.get("data")))
    shop.bucket.give_back(requested - actual)
    return {**result, "extensions": {"cost": shop.bucket.cost(requested, actual)}}


def root_fields(document: str, operation_name: str | None = None) -> list[str]:
    """The names of the fields that a valid document asks of the root; of another, none."""
    try:
        return _read(document, None, operation_name, with_values=False).root_fields()
    except _Invalid:
        return []


def _read(
    document: str,
    variables: Variables | None,
    operation_name: str | None,
    *,
    with_values: bool = True,
) -> GraphQlOperation:
    """The document, ready to be executed. Raises _Invalid."""
    ast = _parsed(document)
    operations = [
        node
        for node in ast.definitions
        if isinstance(node, OperationDefinitionNode)
        and operation_name in (None, node.name and node.name.value)
    ]
    if len(operations) != 1 or _SCHEMA.get_root_type(operations[0].operation) is None:
        raise _Invalid([GraphQLError("No operation, or not one operation, of that name")])
    return GraphQlOperation(
        _SCHEMA,
        ast,
        operations[0],
        given=variables or {},
        coerced=_coerced(operations[0], variables or {}) if with_values else {},
    )


@lru_cache(maxsize=256)
def _parsed(document: str) -> DocumentNode:
    """The tree of a valid document. Raises _Invalid.

    Remembered, for an app sends the same few: validating one takes nine times as long as answering.
    """
    try:
        ast = parse(document, max_lexical_tokens=MAX_TOKENS)
    except GraphQLError as error:
        raise _Invalid([error]) from error
    if errors := validate(_SCHEMA, ast, _RULES):
        raise _Invalid(errors)
    return ast


def _coerced(operation: OperationDefinitionNode, variables: Variables) -> Variables:
    """The values of the variables, defaults included. Raises _Invalid."""
    values = get_variable_values(_SCHEMA, operation.variable_definitions or (), variables)
    if isinstance(values, list):
        raise _Invalid(values)
    return values.coerced


def _execute(context: GraphQlContext, document: GraphQlOperation) -> dict[str, object]:
    name = document.operation.name
    result = execute_sync(
        _SCHEMA,
        document.ast,
        {
            **query_root(context),
            **file_mutations(context),
            **product_mutations(context),
            **billing_mutations(context),
        },
        variable_values=document.given,
        operation_name=name.value if name else None,
    )
    return {part: value for part, value in result.formatted.items() if value is not None}
