"""The schema's history. `upgrade` and `downgrade` are what `atelier migrate` calls.

House rules: a lock time-out on every statement, one migrator at a time (advisory lock), and
expand → backfill → contract for anything that running code can see.
"""

from pathlib import Path

from alembic import command
from alembic.config import Config

HERE = Path(__file__).parent


def config(database_url: str) -> Config:
    """Alembic's configuration, without a file: the database is the caller's to name."""
    alembic = Config()
    alembic.set_main_option("script_location", str(HERE))
    alembic.set_main_option(
        "file_template", "%%(year)d_%%(month).2d_%%(day).2d_%%(hour).2d%%(minute).2d_%%(slug)s"
    )
    alembic.attributes["database_url"] = database_url
    return alembic


def upgrade(database_url: str, revision: str = "head") -> None:
    """Bring the database up to `revision`. Runs an event loop of its own: not from async code."""
    command.upgrade(config(database_url), revision)


def downgrade(database_url: str, revision: str) -> None:
    """Take the database down to `revision`."""
    command.downgrade(config(database_url), revision)
