"""The plans by which Postgres has really run what the product asked, told by `auto_explain`.

Rather than EXPLAIN beside each statement: so nothing that a piece of code asks can be left out, not
even what foreign keys and triggers ask on their own.
"""

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import asyncpg
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

# Only a superuser may; the connection's role is not, so it steps out of it for that.
TELL = """
SET ROLE none;
LOAD 'auto_explain';
SET auto_explain.log_min_duration = 0;
SET auto_explain.log_level = 'notice';
SET auto_explain.log_format = 'json';
SET auto_explain.log_analyze = on;
SET auto_explain.log_verbose = on;
SET auto_explain.log_nested_statements = on;
"""

# The operator's own rows, a handful: an index would not be used.
FEW_ROWS = frozenset({"app_webhook_endpoints"})

Plan = dict[str, Any]


class Plans(list[Plan]):
    """Plans in the order in which they ended; each has its `Query Text`."""

    async def watch(self, connection: asyncpg.Connection) -> None:
        """Take down what is run on this connection from now on."""
        connection.add_log_listener(self.take_down)
        role = await connection.fetchval("SELECT current_setting('role')")
        await connection.execute(f"{TELL} SET ROLE {role};")

    def take_down(self, _connection: Any, message: Any) -> None:
        """A notice; those of `auto_explain` have a plan behind their first line."""
        _, has_plan, plan = str(message.message).partition("plan:\n")
        if has_plan:
            self.append(json.loads(plan))

    @contextlib.contextmanager
    def of(self, engine: AsyncEngine) -> Iterator[None]:
        """Take down what is run on every connection that the engine opens meanwhile."""

        def watch(connection: Any, _record: Any) -> None:
            connection.run_async(self.watch)

        event.listen(engine.sync_engine, "connect", watch)
        try:
            yield
        finally:
            event.remove(engine.sync_engine, "connect", watch)

    def sequential(self) -> list[str]:
        """Each scan through a whole table of ours, with the statement that it was for."""
        return [
            f"{node['Relation Name']}: {plan['Query Text']}"
            for plan in self
            for node in nodes(plan["Plan"])
            if node["Node Type"] == "Seq Scan"
            and node["Schema"] == "public"
            and node["Relation Name"] not in FEW_ROWS
        ]

    def indexes(self) -> set[str]:
        """The indexes that the plans use."""
        return {node["Index Name"] for node in self.nodes() if "Index Name" in node}

    def scans(self) -> list[Plan]:
        """Each scan of a table of ours."""
        return [node for node in self.nodes() if "Relation Name" in node]

    def nodes(self) -> Iterator[Plan]:
        """The nodes of all plans."""
        return (node for plan in self for node in nodes(plan["Plan"]))

    def read(self) -> set[str]:
        """The tables that a part of a plan has been run for: many a part never is."""
        return {
            node["Relation Name"]
            for plan in self
            for node in nodes(plan["Plan"])
            if "Relation Name" in node and node["Actual Loops"]
        }

    def tables(self) -> set[str]:
        """The tables that were looked at, or changed."""
        return {
            node["Relation Name"]
            for plan in self
            for node in nodes(plan["Plan"])
            if "Relation Name" in node
        }


def nodes(plan: Plan) -> Iterator[Plan]:
    """A plan's nodes, from the top."""
    yield plan
    for inner in plan.get("Plans", ()):
        yield from nodes(inner)
