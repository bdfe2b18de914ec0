"""Create PgQueuer's tables from the library's own SQL, frozen in migrations/sql.

The file is the output of `PGQUEUER_SCHEMA=queue pgq sql install` and then `pgq sql autovac` of
PgQueuer 1.6.0.
"""

from pathlib import Path

from alembic import op
from sqlalchemy.util import await_only

revision = "0001_queue"
down_revision = None
branch_labels = None
depends_on = None

SCRIPT = Path(__file__).parents[1] / "sql" / "pgqueuer_1_6.sql"


def upgrade() -> None:
    """Run the script as it is: asyncpg takes many statements only outside a prepared one."""
    connection = op.get_bind()
    connection.exec_driver_sql("SELECT 1")  # SQLAlchemy begins lazily; the script must be inside
    driver = connection.connection.dbapi_connection.driver_connection  # type: ignore[union-attr]
    await_only(driver.execute(SCRIPT.read_text()))


def downgrade() -> None:
    """The queue has its schema to itself."""
    op.execute("DROP SCHEMA queue CASCADE")
