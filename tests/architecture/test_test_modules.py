"""The tests' own structure."""

import ast

from tests.source_tree import ROOT, syntax_tree


def test_test_modules_do_not_import_each_other() -> None:
    """What two of them need belongs in a helper module; pytest would run imported tests twice."""
    imports = {
        f"{path.relative_to(ROOT)}: {module}"
        for path in ROOT.glob("tests/**/*.py")
        for module in imported_modules(path.read_text())
        if module.startswith("tests.") and ".test_" in module
    }
    assert not imports, f"Move what is shared to a module without `test_` in its name: {imports}"


def imported_modules(source: str) -> set[str]:
    """The modules that a source imports, and the names that it imports from packages."""
    modules = set()
    for node in ast.walk(syntax_tree(source)):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules |= {f"{node.module}.{alias.name}" for alias in node.names}
    return modules
