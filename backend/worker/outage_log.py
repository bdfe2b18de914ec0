"""PgQueuer logs a traceback each time that it has no connection: once a second in an outage."""

import logging

from backend.database_errors import is_outage


def shorten_outages() -> None:
    """Have PgQueuer log one short line for a lost connection."""
    logging.getLogger("pgqueuer").addFilter(without_traceback)


def without_traceback(record: logging.LogRecord) -> bool:
    """Replace the traceback of an outage by its cause; keep every line."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, Exception) and is_outage(error):
        record.exc_info = None
        record.levelno, record.levelname = logging.WARNING, "WARNING"
        record.msg = f"Waiting for Postgres: {error or type(error).__name__}"
        record.args = ()
    return True
