"""What may be asked in bulk: products, with a few connections that are not too deep."""

from collections.abc import Mapping

from graphql import DocumentNode, FieldNode, GraphQLError, OperationDefinitionNode, parse, visit
from graphql.language import Visitor

from backend.dev.shopify.refusals import Refusal

MAX_CONNECTIONS = 5
MAX_QUERY_DEPTH = 2


def check(query: str) -> None:
    """Refuse a document that cannot run in bulk. That its fields exist is not looked at."""
    try:
        document = parse(query, max_lexical_tokens=1000)
    except GraphQLError as problem:
        raise invalid_query(f"Invalid bulk query: {problem.message}") from problem
    operation = document.definitions[0] if document.definitions else None
    fields = (
        [node for node in operation.selection_set.selections if isinstance(node, FieldNode)]
        if isinstance(operation, OperationDefinitionNode)
        else []
    )
    if [field.name.value for field in fields] != ["products"]:
        raise invalid_query("Stand-in: a bulk query is of `products` and nothing else")
    connections, depth = _connections(document)
    if connections > MAX_CONNECTIONS:
        raise invalid_query(f"Bulk queries cannot contain more than {MAX_CONNECTIONS} connections.")
    if depth > MAX_QUERY_DEPTH:
        raise invalid_query(
            f"Bulk queries cannot contain connections nested deeper than {MAX_QUERY_DEPTH}."
        )


def _connections(document: DocumentNode) -> tuple[int, int]:
    """How many connections there are, and how deep they are nested."""

    class Count(Visitor):
        number = depth = deepest = 0

        def enter_field(self, node: FieldNode, *_: object) -> None:
            if _is_connection(node):
                self.number += 1
                self.depth += 1
                self.deepest = max(self.deepest, self.depth)

        def leave_field(self, node: FieldNode, *_: object) -> None:
            self.depth -= _is_connection(node)

    count = Count()
    visit(document, count)
    return count.number, count.deepest


def _is_connection(node: FieldNode) -> bool:
    selections = node.selection_set.selections if node.selection_set else ()
    return any(
        isinstance(each, FieldNode) and each.name.value in ("edges", "nodes") for each in selections
    )


def refuse_errors(answer: Mapping[str, object]) -> None:
    """Refuse a document that was tried and had errors."""
    errors = answer.get("errors")
    if isinstance(errors, list) and errors:
        raise invalid_query(f"Invalid bulk query: {errors[0]['message']}")


def invalid_query(message: str) -> Refusal:
    """The refusal of a query, and why."""
    return Refusal("INVALID", ["query"], message)
