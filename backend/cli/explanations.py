"""What an operator reads when a command cannot run: one line that says what to do.

Exit codes: 1 when something has to be changed first, 2 for a wrong command line, 75 (EX_TEMPFAIL of
sysexits.h) when the same command can succeed later, 130 after Ctrl-C. An error that is not known
here is a bug of ours, and keeps its traceback.
"""

import os
import ssl
from collections.abc import Iterator
from errno import EACCES, EDQUOT, EFBIG, ENOSPC, EPERM, EROFS
from socket import gaierror
from urllib.parse import parse_qsl, urlsplit

import click

from backend.errors import AtelierError, DatabaseUnavailable, StorageUnavailable, Unavailable

WRONG_COMMAND_LINE, TRY_AGAIN = 2, 75
FULL_DISK = frozenset({EDQUOT, EFBIG, ENOSPC})
DISK_ERRORS = FULL_DISK | {EACCES, EPERM, EROFS}
CREATE_ROLES = (
    "Run as a superuser: CREATE ROLE atelier_web NOLOGIN; CREATE ROLE atelier_worker NOLOGIN; "
    "GRANT atelier_web, atelier_worker TO the_login; (docs/tenancy.md)"
)


class CommandFailed(click.ClickException):
    """Printed as one line, `Error: …`, with an exit code of its own."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(" ".join(message.split()))
        self.exit_code = exit_code  # type: ignore[misc]  # a constant of the class, for click


def explained(error: Exception) -> CommandFailed | None:
    """The line for an error that stopped a command, or None for a bug of ours."""
    if isinstance(error, AtelierError) and not isinstance(
        error, DatabaseUnavailable | StorageUnavailable
    ):
        return CommandFailed(error.message, TRY_AGAIN if isinstance(error, Unavailable) else 1)
    if isinstance(error, StorageUnavailable):
        return storage_failure(error)
    causes = list(chain(error))
    if any(isinstance(cause, UnicodeEncodeError) for cause in causes):
        return CommandFailed("An argument or a setting is not valid UTF-8.", WRONG_COMMAND_LINE)
    return postgres_failure(causes) or connection_failure(causes) or local_failure(causes)


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and its causes, outermost first; SQLAlchemy keeps the driver's in `orig`."""
    while error is not None:
        yield error
        error = getattr(error, "orig", None) or error.__cause__ or error.__context__


def storage_failure(error: StorageUnavailable) -> CommandFailed:
    """The bucket refused the credentials, or did not respond."""
    from backend.storage.bucket_check import bucket_remedy

    if remedy := bucket_remedy(error.__cause__):
        return CommandFailed(remedy)
    if error.message != StorageUnavailable.message:
        return CommandFailed(error.message, TRY_AGAIN)
    message = "The bucket is not responding. Check S3_BUCKET, S3_ENDPOINT_URL and AWS_*."
    return CommandFailed(message, TRY_AGAIN)


def postgres_failure(causes: list[BaseException]) -> CommandFailed | None:
    """What Postgres answered, if it is what stopped the command."""
    import asyncpg

    from backend.database_errors import is_transient

    told = next((cause for cause in causes if isinstance(cause, asyncpg.PostgresError)), None)
    if told is None:
        return None
    for kinds, advice in (
        (
            asyncpg.InvalidAuthorizationSpecificationError,  # and its subclass for a wrong password
            "Check user and password in DATABASE_URL, and Postgres's pg_hba.conf.",
        ),
        (
            asyncpg.InvalidCatalogNameError,
            "Create it (CREATE DATABASE name OWNER login), or correct DATABASE_URL.",
        ),
        (
            (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError),
            "The database's schema is older than this release. Run `atelier migrate`.",
        ),
        (asyncpg.InvalidParameterValueError, "Run `atelier migrate`, which creates the roles."),
        (asyncpg.InsufficientPrivilegeError, privilege_advice(str(told))),
        (
            asyncpg.DiskFullError,
            "Free disk space on the database server, then run the command again.",
        ),
    ):
        if isinstance(told, kinds):
            return CommandFailed(f"Postgres refused: {told}. {advice}")
    if is_transient(told.sqlstate):
        return CommandFailed(
            f"Postgres is busy: {told}. Nothing was changed; run the command again.", TRY_AGAIN
        )
    return None


def privilege_advice(told: str) -> str:
    """What the login of a command lacks."""
    if "create role" in told:
        return CREATE_ROLES
    if "set role" in told:
        return "The login is not a member of this command's role. See docs/tenancy.md."
    return "Use the login that owns the database for `atelier migrate`. See docs/tenancy.md."


def connection_failure(causes: list[BaseException]) -> CommandFailed | None:
    """Postgres was not reached."""
    if not any(isinstance(cause, DatabaseUnavailable) for cause in causes):
        return None
    where = database_address()
    for cause in causes:
        if isinstance(cause, gaierror):
            return CommandFailed(f"The host of DATABASE_URL, {where}, is unknown.", TRY_AGAIN)
        if isinstance(cause, ssl.SSLError):
            return CommandFailed(f"TLS with Postgres at {where} failed: {cause}. Check sslmode.")
    return CommandFailed(
        f"Postgres at {where} is not responding. Check DATABASE_URL and that Postgres is running.",
        TRY_AGAIN,
    )


def database_address() -> str:
    """Host and port of `DATABASE_URL`, without its password."""
    try:
        parts = urlsplit(os.environ.get("DATABASE_URL", ""))
        named = dict(parse_qsl(parts.query))  # `?host=` is how a URL names a unix socket
        host = parts.hostname or named.get("host", "localhost")
        return f"{host}:{parts.port or named.get('port', 5432)}"
    except ValueError:
        return "an unreadable address"


def local_failure(causes: list[BaseException]) -> CommandFailed | None:
    """This machine's disk, or a revision that Alembic does not know."""
    from alembic.util import CommandError

    for cause in causes:
        if isinstance(cause, CommandError):
            return CommandFailed(
                f"{cause}. Check --to. If it is the database's own revision, its schema is of a "
                "newer release than this code: install that."
            )
        if isinstance(cause, FileNotFoundError) and "temporary directory" in str(cause):
            return CommandFailed(
                "No temporary directory can be written. Free space in /tmp, or set TMPDIR to a "
                "directory that this user may write."
            )
        if isinstance(cause, OSError) and cause.errno in DISK_ERRORS and cause.filename:
            return CommandFailed(f"Cannot write {cause.filename}: {cause.strerror}.")
        if isinstance(cause, OSError) and cause.errno in FULL_DISK:
            return CommandFailed(f"Cannot write the command's output: {cause.strerror}.")
    return None
