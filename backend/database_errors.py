"""Which errors of Postgres and its drivers mean an outage, and which a wrong set-up."""

import contextlib
from typing import Any

import asyncpg
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from backend.connections import CONNECTION_LOST
from backend.errors import ConfigurationError, DatabaseUnavailable
from backend.metrics import DATABASE_UNAVAILABLE, increment
from backend.schema_check import NO_SCHEMA

# SQLSTATE classes and codes that mean "not now" rather than "not like this":
# https://www.postgresql.org/docs/current/errcodes-appendix.html
TRANSIENT_CLASSES = ("08", "53")  # connection exception, insufficient resources
LOCK_NOT_AVAILABLE = "55P03"  # within lock_timeout
NO_SUCH_ROLE, NOT_PERMITTED = "22023", "42501"
TRANSIENT_CODES = frozenset(
    {
        "25006",  # read-only transaction: the server is a demoted primary
        LOCK_NOT_AVAILABLE,
        "57014",  # statement_timeout
        "57P01",  # admin shutdown
        "57P02",  # crash shutdown
        "57P03",  # cannot connect now
        "40001",  # serialization failure
        "40P01",  # deadlock
    }
)


@contextlib.contextmanager
def database_errors() -> Any:
    """Turn every error that means an outage of Postgres into `DatabaseUnavailable`."""
    try:
        yield
    except Exception as error:
        if is_outage(error):
            increment(DATABASE_UNAVAILABLE)
            raise DatabaseUnavailable from error
        raise


def is_outage(error: Exception) -> bool:
    """Whether the error means that Postgres is down, unreachable or busy for too long."""
    if isinstance(error, (TimeoutError, PoolTimeout, OSError, *CONNECTION_LOST)):
        return True
    if isinstance(error, asyncpg.PostgresError):
        return is_transient(error.sqlstate)
    return isinstance(error, DBAPIError) and is_unavailable(error)


def is_unavailable(error: DBAPIError) -> bool:
    """Whether retrying the same statement later can succeed."""
    if error.connection_invalidated or isinstance(error, InterfaceError):
        return True
    sqlstate = getattr(error.orig, "sqlstate", None)
    if sqlstate is None:
        return isinstance(error, OperationalError)
    return is_transient(sqlstate)


def is_transient(sqlstate: str) -> bool:
    """Whether the SQLSTATE means "not now"."""
    return sqlstate in TRANSIENT_CODES or sqlstate.startswith(TRANSIENT_CLASSES)


@contextlib.contextmanager
def role_errors(role: str) -> Any:
    """Raise `ConfigurationError` with the remedy when Postgres does not let us act as `role`."""
    try:
        yield
    except (asyncpg.PostgresError, DBAPIError) as error:
        sqlstate = getattr(getattr(error, "orig", error), "sqlstate", None)
        if sqlstate == NO_SUCH_ROLE:
            raise ConfigurationError(NO_SCHEMA) from error
        if sqlstate == NOT_PERMITTED:
            raise ConfigurationError(
                f"The database login is not a member of {role}. See docs/tenancy.md."
            ) from error
        raise
