"""Architecture rules of security, checked on the syntax tree of the source."""

import ast
import re
from collections.abc import Iterator

from tests.source_tree import product_modules

SECRET_NAME = re.compile(r"(^|_)(hmac|mac|sig|signature)s?($|_)")


def modules() -> Iterator[tuple[str, ast.Module]]:
    """The product's modules by path; what only runs on a developer's machine aside."""
    for path, tree in product_modules():
        if not path.startswith("backend/dev/"):
            yield path, tree


def names_in(node: ast.expr) -> list[str]:
    """The names that an expression reads or calls."""
    found = [each.id for each in ast.walk(node) if isinstance(each, ast.Name)]
    return found + [each.attr for each in ast.walk(node) if isinstance(each, ast.Attribute)]


def test_signatures_are_compared_in_constant_time() -> None:
    """T-07: `hmac.compare_digest` takes as long whatever the bytes are."""
    operators = (ast.Eq, ast.NotEq, ast.In, ast.NotIn)
    compared = [
        f"{path}:{node.lineno}"
        for path, tree in modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.Compare)
        and any(isinstance(operator, operators) for operator in node.ops)
        for side in (node.left, *node.comparators)
        if any(SECRET_NAME.search(name) for name in names_in(side))
    ]
    assert compared == [], "compare signatures with `hmac.compare_digest`"


def test_only_the_admin_api_clients_make_outbound_calls() -> None:
    """T-28: another client would go round the address checks of these."""
    callers = {
        path
        for path, tree in modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and {"AsyncClient", "Client", "urlopen", "AsyncHTTPTransport"} & set(names_in(node.func))
    }
    allowed = {
        "backend/shops/admin_api.py",
        "backend/providers/client.py",
        "backend/ssrf_transport.py",
    }
    assert callers == allowed, "make outbound calls through the clients that check addresses"
