"""How many connections of a web process' two pools somebody holds."""

from typing import Any

import pytest

from backend import app
from backend.db import Database


def seen_databases(monkeypatch: pytest.MonkeyPatch) -> list[Database]:
    """A list that gets the `Database` of each app that is created from now on."""
    opened: list[Database] = []

    class Seen(Database):
        def __init__(self, url: str) -> None:
            super().__init__(url)
            opened.append(self)

    monkeypatch.setattr(app, "Database", Seen)
    return opened


def held_connections(database: Database) -> int:
    """Those of SQLAlchemy's pool, and of asyncpg's own connections."""
    pool: Any = database.engine.pool
    return int(pool.checkedout()) + database.connections.in_use
