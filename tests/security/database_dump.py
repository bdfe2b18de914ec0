"""Every row of the database as text."""

from tests.running_app import RunningApp


async def dump_rows(running_app: RunningApp) -> str:
    """Every row of every table, as text."""
    tables = await running_app.rows(
        "SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables "
        "WHERE schemaname IN ('public', 'queue')"
    )
    lines = [
        row["line"]
        for table in tables
        for row in await running_app.rows(f"SELECT t::text AS line FROM {table['name']} t")
    ]
    return "\n".join(lines)
