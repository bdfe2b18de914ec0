"""What puts a table behind row-level security: for the migration that makes a table of shops' rows.

Frozen, as migrations are: what is to be different from now on gets another function.
"""

from alembic import op

WEB, WORKER = "atelier_web", "atelier_worker"
DOMAIN = "nullif(current_setting('app.shop_domain', true), '')"
ID = "nullif(current_setting('app.shop_id', true), '')::bigint"
OF_THE_SHOP = f"shop_id = {ID}"
ALL = "SELECT, INSERT, UPDATE, DELETE"


def protect(table: str, *, web: str, mine: str = OF_THE_SHOP) -> None:
    """Show each role the rows that are `mine`, also the table's owner; workers all, until they say.

    `web` is what the web processes may do with their rows; nothing if empty.
    """
    everywhere = f"{DOMAIN} IS NULL OR {mine}"
    for role, rows, rights in ((WEB, mine, web), (WORKER, everywhere, ALL)):
        op.execute(f"CREATE POLICY {role} ON {table} TO {role} USING ({rows}) WITH CHECK ({rows})")
        if rights:
            op.execute(f"GRANT {rights} ON {table} TO {role}")
    op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")


def expose(table: str) -> None:
    """Undo `protect`."""
    op.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY")
    for role in (WEB, WORKER):
        op.execute(f"REVOKE ALL ON {table} FROM {role}")
        op.execute(f"DROP POLICY {role} ON {table}")
