"""No process can change or delete what the ledger says, whichever role it acts as."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from backend.db import Database
from backend.tenancy import WEB, WORKER
from tests.running_app import SHOP, RunningApp
from tests.scenarios import fingerprint, open_shared_app
from tests.security.tenant_checks.accounts import prepaid_job

shared_app = pytest.fixture(open_shared_app, scope="module")
APPENDED = {"credit_entries": "d_available = 9", "credit_hold_lots": "amount = 9"}


async def attempt(shared_app: RunningApp, role: str, statement: str) -> str | None:
    """Run the statement in the shop, as a process of that role does; the refusal's SQLSTATE."""
    database = Database(shared_app.settings.database_url, role=role)
    try:
        async with database.transaction(SHOP) as connection:
            await connection.execute(text(statement))
    except DBAPIError as error:
        return getattr(error.orig, "sqlstate", None)
    finally:
        await database.close()
    return None


@pytest.mark.parametrize("role", [WEB, WORKER])
@pytest.mark.parametrize("table", APPENDED)
async def test_what_was_appended_stays_as_it_is(
    shared_app: RunningApp, table: str, role: str
) -> None:
    await prepaid_job(shared_app, SHOP, 100)
    before = await fingerprint(shared_app, SHOP)
    seen = await shared_app.rows(f"SELECT count(*) AS n FROM {table}")
    assert seen[0]["n"] > 0
    refused = "42501"  # insufficient privilege
    update = f"UPDATE {table} SET {APPENDED[table]}"
    assert await attempt(shared_app, role, update) == refused
    assert await attempt(shared_app, role, f"TRUNCATE {table}") == refused
    # Workers may delete the rows of a shop that is being erased: of another shop they see none.
    deleted = await attempt(shared_app, role, f"DELETE FROM {table}")
    assert deleted == (refused if role == WEB else None)
    assert await fingerprint(shared_app, SHOP) == before
