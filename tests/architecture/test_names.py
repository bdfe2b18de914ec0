"""One meaning, one name: a search for a public name finds one definition."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from tests.source_tree import ROOT

CONVENTIONS = {"T", "log", "main"}  # the same in any module of any project

# To be emptied: each of these is still defined with two meanings, or twice with the same one.
LEASED_TASKS = {
    *("AT_ONCE", "TURN", "Outcome", "after_failure", "after_reauth_needed", "claim", "claimed_run"),
    *("ending", "note", "outcome_of", "return_attempt", "returned_attempt", "still", "this"),
}
LISTS = {"Cursor", "Wanted", "page"}
JOBS = {
    *("ARTIFACTS", "DETAIL", "EVENTS", "JOBS", "JobType", "MAKING", "PUBLIC_ID", "SHOP_DOMAIN"),
    *("VERSION", "creation_route", "found"),
}
FAILURES = {
    *("EXPECTED", "PRODUCT_NOT_FOUND", "SCOPE_MISSING", "SHOPIFY_REFUSED", "SHOPIFY_UNAVAILABLE"),
    *("STORAGE_UNAVAILABLE", "failure_of"),
}
WORKFLOWS = {
    *("EarlierFacts", "FETCH", "Failure", "JPEG_AND_WEBP", "KEY_SUFFIX", "Output"),
    "Outputs",
}
COMMANDS = {"serve"}
STILL_DOUBLE = LEASED_TASKS | LISTS | JOBS | FAILURES | WORKFLOWS | COMMANDS


def test_a_public_name_is_defined_in_one_module() -> None:
    found = defaultdict(list)
    for package in ("backend", "webhooks"):
        for path in sorted((ROOT / package).rglob("*.py")):
            for name in public_names(path):
                found[name].append(path.relative_to(ROOT).as_posix())
    assert [
        f"{name}: {', '.join(paths)}"
        for name, paths in sorted(found.items())
        if len(paths) > 1 and name not in CONVENTIONS | STILL_DOUBLE
    ] == []


def public_names(path: Path) -> Iterator[str]:
    """What the module defines at its top level, without what it keeps to itself."""
    names: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)}
    return (name for name in names if not name.startswith("_"))
