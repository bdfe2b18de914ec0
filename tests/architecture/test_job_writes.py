"""One place appends a job's events, and one place ends a job: credits and webhooks hang there."""

import ast
import re
from collections.abc import Iterator

import pytest

from tests.source_tree import product_modules

Modules = list[tuple[str, ast.Module]]

EVENTS, COMPLETION = "backend/jobs/events.py", "backend/jobs/completion.py"
TERMINAL = re.compile(r"\b(SUCCESS|FAILURE)\b")
RAW_SQL = re.compile(
    r"insert\s+into\s+job_events|update\s+jobs\s[^;]*\b(status|finished_at)\s*=", re.IGNORECASE
)


@pytest.fixture(scope="module")
def modules() -> Modules:
    """The product's modules, parsed once."""
    return list(product_modules())


def test_only_one_module_inserts_events(modules: Modules) -> None:
    assert {path for path, tree in modules if inserts_events(tree)} == {EVENTS}


def test_only_one_module_sets_a_terminal_status(modules: Modules) -> None:
    assert {path for path, tree in modules if ends_jobs(tree)} == {COMPLETION}


def test_no_module_does_either_in_raw_sql(modules: Modules) -> None:
    assert {path for path, tree in modules if has_raw_writes(tree)} == set()


def test_every_call_that_creates_jobs_says_who_asked(modules: Modules) -> None:
    creating = [
        (path, call)
        for path, tree in modules
        for call in calls(tree)
        if name_of(call.func) in {"request_job", "request_jobs"}
    ]
    assert len(creating) >= 4
    assert [
        path for path, call in creating if "asked_by" not in {each.arg for each in call.keywords}
    ] == []


def test_other_ways_to_write_are_found() -> None:
    many = "connection.execute(insert(JobEvent), rows)"
    one = "upsert(JobEvent).values(seq=1)"
    assert all(inserts_events(ast.parse(code)) for code in (many, one))
    by_keyword = "update(Job).where(this).values(attempt=1, status=JobStatus.FAILURE)"
    by_name = "update(models.Job).values({'status': 'SUCCESS'})"
    by_helper = "change_job(this, status=JobStatus.SUCCESS)"
    by_time = "change_job(this, finished_at=func.now())"
    ways = (by_keyword, by_name, by_helper, by_time)
    assert [ends_jobs(ast.parse(code)) for code in ways] == [True] * 4
    claim = "update(Job).where(Job.status != JobStatus.FAILURE).values(status='IN_PROGRESS')"
    assert not ends_jobs(ast.parse(claim))
    assert has_raw_writes(ast.parse("text('UPDATE jobs SET status = :status')"))


def inserts_events(tree: ast.AST) -> bool:
    """Whether there is an `insert(JobEvent)`, under any name of the function."""
    return any(
        name_of(call.func) in {"insert", "upsert"} and names_table(call, "JobEvent")
        for call in calls(tree)
    )


def ends_jobs(tree: ast.AST) -> bool:
    """Whether an UPDATE of jobs sets a terminal status, or the time of the end."""
    return any(is_update_of_jobs(call) and sets_end(call) for call in calls(tree))


def has_raw_writes(tree: ast.AST) -> bool:
    """Whether a string is SQL that inserts events or sets the status of jobs."""
    strings = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant))
    return any(isinstance(value, str) and RAW_SQL.search(value) for value in strings)


def is_update_of_jobs(call: ast.Call) -> bool:
    """Whether it is `change_job(…)`, or the `values(…)` of an `update(Job)`."""
    if name_of(call.func) == "change_job":
        return True
    return name_of(call.func) == "values" and any(
        name_of(inner.func) == "update" and names_table(inner, "Job") for inner in calls(call.func)
    )


def sets_end(call: ast.Call) -> bool:
    """Whether a terminal status or `finished_at` is among the values; a variable may be one."""
    values: list[tuple[object, ast.expr]] = [(each.arg, each.value) for each in call.keywords]
    for each in call.args:
        if isinstance(each, ast.Dict):
            keys = (key.value if isinstance(key, ast.Constant) else None for key in each.keys)
            values += zip(keys, each.values, strict=True)
    return any(
        name == "finished_at"
        or (
            name == "status"
            and (isinstance(value, ast.Name) or TERMINAL.search(ast.unparse(value)))
        )
        for name, value in values
    )


def calls(tree: ast.AST) -> Iterator[ast.Call]:
    """Every call in it."""
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def name_of(node: ast.expr) -> str:
    """The last part of a name, or nothing for another expression."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def names_table(call: ast.Call, table: str) -> bool:
    """Whether the call's first argument is that model."""
    return bool(call.args) and name_of(call.args[0]) == table
