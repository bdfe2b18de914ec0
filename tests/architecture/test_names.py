"""One meaning, one name: a search for a public name finds one definition."""

import ast
from collections import defaultdict
from collections.abc import Iterator

from tests.source_tree import product_modules

CONVENTIONS = {"P", "T", "log", "main", "serve", "show"}  # `serve` and `show` are commands too


def test_a_public_name_is_defined_in_one_module() -> None:
    found = defaultdict(list)
    for path, tree in product_modules():
        for name in public_names(tree):
            found[name].append(path)
    assert [
        f"{name}: {', '.join(paths)}"
        for name, paths in sorted(found.items())
        if len(paths) > 1 and name not in CONVENTIONS
    ] == []


def public_names(tree: ast.Module) -> Iterator[str]:
    """What the module defines at its top level, without what it keeps to itself."""
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)}
    return (name for name in names if not name.startswith("_"))
