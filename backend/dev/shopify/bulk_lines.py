"""From the data of a bulk query to the lines of its file."""

from collections.abc import Iterator, Mapping


def lines(data: object) -> Iterator[dict[str, object]]:
    """The nodes of every connection below, each as a line; a child names its parent."""
    for connection in data.values() if isinstance(data, Mapping) else ():
        for node in _nodes(connection):
            yield from _row(node, None)


def _row(node: Mapping[str, object], parent: object) -> Iterator[dict[str, object]]:
    fields = {name: value for name, value in node.items() if _nodes(value) is _NO_NODES}
    yield {**fields, "__parentId": parent} if parent is not None else fields
    for value in node.values():
        for child in _nodes(value):
            yield from _row(child, node.get("id"))


_NO_NODES: list[Mapping[str, object]] = []


def _nodes(value: object) -> list[Mapping[str, object]]:
    """The nodes of a connection; `_NO_NODES` itself when the value is none."""
    if not isinstance(value, Mapping):
        return _NO_NODES
    if isinstance(value.get("nodes"), list):
        return list(value["nodes"])
    if isinstance(value.get("edges"), list):
        return [edge["node"] for edge in value["edges"]]
    return _NO_NODES
