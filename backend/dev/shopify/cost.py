"""What a document costs, in points: asked for at most, and used in fact.

Source: shopify.dev, "GraphQL Admin API rate limits": scalars and enums are free, an object is 1, an
interface its dearest type, a mutation 10, a connection is sized by `first`. How exactly Shopify
sizes a connection is not published: here it is `first` times its node, which is dearer than what
Shopify has been seen to ask, so that a client that stays within this stays within Shopify's.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import cast

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    OperationDefinitionNode,
    OperationType,
    SelectionNode,
    SelectionSetNode,
    VariableNode,
    get_named_type,
)

MAX_COST = 1000  # points, of one document
MUTATION_COST = 10


@dataclass(frozen=True, slots=True)
class GraphQlOperation:
    """A valid document, the operation of it that is asked for, and the values of its variables."""

    schema: GraphQLSchema
    ast: DocumentNode
    operation: OperationDefinitionNode
    given: dict[str, object]
    """The variables as they came."""
    coerced: Mapping[str, object]
    """The same as their types have them, with the defaults."""

    def requested_cost(self) -> int:
        """The points this document can cost at most."""
        return self._cost(None)

    def actual_cost(self, data: object) -> int:
        """The points that it has cost, seen by its answer."""
        return self._cost(data if isinstance(data, Mapping) else {})

    def root_fields(self) -> list[str]:
        """The names of the fields that are asked of the root, aliases undone."""
        root = self._root()
        return [field.name.value for field, _ in self._fields(self.operation.selection_set, root)]

    def _root(self) -> GraphQLObjectType:
        root = self.schema.get_root_type(self.operation.operation)
        if root is None:  # validation has seen to it that there is one
            raise TypeError(self.operation.operation.value)
        return root

    def _cost(self, data: object) -> int:
        writes = self.operation.operation is OperationType.MUTATION
        total = 0
        for field, owner in self._fields(self.operation.selection_set, self._root()):
            inner = self._field_cost(field, owner, data, object_cost=0 if writes else 1)
            total += inner + (MUTATION_COST if writes else 0)
        return total

    def _field_cost(
        self, field: FieldNode, owner: GraphQLObjectType, data: object, *, object_cost: int
    ) -> int:
        definition = owner.fields.get(field.name.value)
        if definition is None or field.selection_set is None:
            return 0  # __typename, a scalar or an enum
        value = None
        if data is not None:  # counting what came back
            key = (field.alias or field.name).value
            value = data.get(key) if isinstance(data, Mapping) else None
            if value is None:
                return 0
        kind = get_named_type(definition.type)
        if kind.name.endswith("Connection"):
            return self._connection_cost(field, kind, value)
        # A list without a length to ask for counts as one object.
        first = value[0] if isinstance(value, list) and value else value
        return object_cost + self._selection_cost(field.selection_set, kind, first, object_cost)

    def _connection_cost(self, field: FieldNode, kind: GraphQLNamedType, value: object) -> int:
        node_cost = max(1, self._node_cost(field.selection_set, kind))
        if value is None:
            return self._first(field) * node_cost
        rows = next((rows for rows in _rows(value)), [])
        return len(rows) * node_cost

    def _node_cost(self, selection: SelectionSetNode | None, kind: GraphQLNamedType) -> int:
        """The points for one node of a connection; several ways to reach it count once."""
        costs = [0]
        for field, owner in self._fields(selection, kind):
            name, inner = field.name.value, field.selection_set
            if name in ("nodes", "node"):
                definition = get_named_type(owner.fields[name].type)
                costs.append(1 + self._selection_cost(inner, definition, None, 1))
            elif name == "edges":
                costs.append(self._node_cost(inner, get_named_type(owner.fields[name].type)))
        return max(costs)

    def _selection_cost(
        self,
        selection: SelectionSetNode | None,
        kind: GraphQLNamedType,
        data: object,
        object_cost: int,
    ) -> int:
        """What is below a field; of an interface, its dearest type."""
        costs = [0]
        for each in self._concrete(kind):
            costs.append(
                sum(
                    self._field_cost(field, owner, data, object_cost=object_cost)
                    for field, owner in self._fields(selection, each)
                )
            )
        return max(costs)

    def _concrete(self, kind: GraphQLNamedType) -> list[GraphQLObjectType]:
        if isinstance(kind, GraphQLInterfaceType):
            return list(self.schema.get_possible_types(kind))
        return [kind] if isinstance(kind, GraphQLObjectType) else []

    def _fields(
        self, selection: SelectionSetNode | None, kind: GraphQLNamedType
    ) -> Iterator[tuple[FieldNode, GraphQLObjectType]]:
        """The fields that are asked of this concrete type, its fragments opened."""
        if not isinstance(kind, GraphQLObjectType):
            return
        for node in selection.selections if selection else ():
            if isinstance(node, FieldNode):
                yield node, kind
                continue
            fragment = self._fragment(node)
            condition = fragment.type_condition
            if condition is None or self._is_of(kind, condition.name.value):
                yield from self._fields(fragment.selection_set, kind)

    def _fragment(self, node: SelectionNode) -> InlineFragmentNode | FragmentDefinitionNode:
        if isinstance(node, InlineFragmentNode):
            return node
        spread = cast("FragmentSpreadNode", node)
        return next(
            each
            for each in self.ast.definitions
            if isinstance(each, FragmentDefinitionNode) and each.name.value == spread.name.value
        )

    def _is_of(self, kind: GraphQLObjectType, name: str) -> bool:
        return kind.name == name or any(each.name == name for each in kind.interfaces)

    def _first(self, field: FieldNode) -> int:
        for argument in field.arguments or ():
            if argument.name.value == "first":
                value = argument.value
                if isinstance(value, IntValueNode):
                    return max(0, int(value.value))
                if isinstance(value, VariableNode):
                    given = self.coerced.get(value.name.value)
                    return max(0, given) if isinstance(given, int) else 0
        return 0


def _rows(value: object) -> Iterator[list[object]]:
    if isinstance(value, Mapping):
        yield from (rows for rows in value.values() if isinstance(rows, list))
