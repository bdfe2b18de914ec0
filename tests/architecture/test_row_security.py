"""Every table with shops' rows has its row-level security policies."""

from asyncpg import Connection, connect

from backend.tenancy import WEB, WORKER
from tests.scenarios import TENANT_TABLES

SHOPS_TABLES = """
SELECT relname, relrowsecurity AND relforcerowsecurity AS is_forced
FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace
AND (relname = 'shops' OR EXISTS (
    SELECT FROM pg_attribute WHERE attrelid = pg_class.oid AND attname IN ('shop_id', 'shop_domain')
))
"""
POLICIES = """
SELECT tablename, roles::text[], qual, with_check FROM pg_policies
WHERE schemaname = 'public' AND permissive = 'PERMISSIVE' AND cmd = 'ALL'
"""


async def unguarded(connection: Connection) -> set[str]:
    """The tables of shops' rows that somebody sees without a policy, or a role has none for."""
    policies = await connection.fetch(POLICIES)
    held = {
        (row["tablename"], role)
        for row in policies
        for role in row["roles"]
        if "app.shop_" in row["qual"] and row["qual"] == row["with_check"]
    }
    return {
        row["relname"]
        for row in await connection.fetch(SHOPS_TABLES)
        if not row["is_forced"] or {(row["relname"], role) for role in (WEB, WORKER)} - held
    }


async def test_every_tenant_table_has_its_policies(database_url: str) -> None:
    connection = await connect(database_url)
    tables = {row["relname"] for row in await connection.fetch(SHOPS_TABLES)}
    assert tables >= {"shops", "webhook_deliveries", *TENANT_TABLES}
    assert await unguarded(connection) == set()
    await connection.close()


async def test_an_incomplete_policy_is_detected(database_url: str) -> None:
    connection = await connect(database_url)
    await connection.execute(
        f"""
        CREATE TABLE bare (shop_id bigint);
        ALTER TABLE jobs NO FORCE ROW LEVEL SECURITY;
        DROP POLICY {WORKER} ON artifacts;
        DROP POLICY {WEB} ON uploads;
        CREATE POLICY {WEB} ON uploads TO {WEB} USING (true) WITH CHECK (true);
        """
    )
    assert await unguarded(connection) == {"bare", "jobs", "artifacts", "uploads"}
    await connection.close()


async def test_the_roles_own_nothing_and_have_no_privileges(database_url: str) -> None:
    connection = await connect(database_url)
    for role in (WEB, WORKER):
        above = await connection.fetchval(
            "SELECT rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolcanlogin "
            "FROM pg_roles WHERE rolname = $1",
            role,
        )
        assert above is False
        assert not await connection.fetchval(
            "SELECT EXISTS (SELECT FROM pg_auth_members WHERE member = $1::text::regrole)", role
        )
        assert not await connection.fetchval(
            f"SELECT has_schema_privilege('{role}', 'public', 'CREATE')"
        )
        assert not await connection.fetchval(
            "SELECT EXISTS (SELECT FROM pg_class WHERE relowner = $1::text::regrole)", role
        )
    await connection.close()
