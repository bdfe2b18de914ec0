"""Remove the shop's condition from every statement, so that row-level security stands alone."""

from typing import Any

import pytest
from sqlalchemy import BinaryExpression, BindParameter, ColumnElement, event, true
from sqlalchemy.sql import operators, visitors

from backend import app
from backend.account import balance, transactions, usage
from backend.db import Database, Query
from backend.gallery import render_queries
from backend.jobs import queries
from backend.overview import queries as overview_queries
from backend.review import queries as review_queries

SHOPS_KEYS = {("shops", "id"), ("shops", "domain")}
ENTERED = "shop"  # what `tenancy.entered_shop` calls the shop in a statement of its own
HOT = (
    (queries, "ONE_VERSION"),
    (queries, "ONE_DETAIL"),
    (queries, "ONE_TIMELINE"),
    (queries, "VISITORS_DETAIL"),
    (queries, "VISITORS_TIMELINE"),
    (review_queries, "REVIEW_PAGE"),
    (render_queries, "RENDER_PAGE"),
    (render_queries, "ONE_RENDER"),
    (overview_queries, "OVERVIEW"),
    (balance, "BALANCE"),
    (transactions, "OPERATIONS_PAGE"),
    (transactions, "PURCHASES_PAGE"),
    (usage, "USAGE"),
)


def remove_shop_conditions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Change the statements of every app created from now on; each still enters its shop."""

    def forgetful_database(*how: Any, **more: Any) -> Database:
        database = Database(*how, **more)
        event.listen(database.engine.sync_engine, "before_execute", on_execute, retval=True)
        return database

    monkeypatch.setattr(app, "Database", forgetful_database)
    for module, name in HOT:
        monkeypatch.setattr(module, name, query_without_shop_conditions(getattr(module, name)))


def on_execute(
    _connection: Any, statement: Any, multiparams: Any, params: Any, _options: Any
) -> tuple[Any, Any, Any]:
    """SQLAlchemy's hook, which may give another statement in the place of this one."""
    return without_shop_conditions(statement), multiparams, params


def query_without_shop_conditions(query: Query) -> Query:
    """The query without a condition on the shop that is asked for."""
    return Query(lambda: without_shop_conditions(query.statement()))


def without_shop_conditions(statement: Any) -> Any:
    """The statement without a condition on the shop that is asked for."""
    return visitors.replacement_traverse(statement, {}, without_condition)


def without_condition(element: Any, **_how: Any) -> ColumnElement[bool] | None:
    """True in the place of a comparison with a given shop; None leaves an element as it is."""
    if not isinstance(element, BinaryExpression) or element.operator is not operators.eq:
        return None
    return true() if is_of_shop(element.left) and is_given(element.right) else None


def is_of_shop(side: Any) -> bool:
    """Whether the column says whose a row is."""
    table = getattr(getattr(side, "table", None), "name", None)
    name = getattr(side, "name", None)
    return name in {"shop_id", "shop_domain"} or (table, name) in SHOPS_KEYS


def is_given(side: Any) -> bool:
    """Whether it is compared with a value from outside: a parameter, or the shop just entered."""
    if isinstance(side, BindParameter):
        return True
    return getattr(getattr(side, "table", None), "name", None) == ENTERED
