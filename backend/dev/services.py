"""Local Postgres and S3 servers from two Python wheels, with nothing else installed.

For development, the demo and the tests. Each server lives in a fresh directory under the system's
temporary one and takes its data with it when it stops. POSIX only.
"""

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from backend.dev.postgres import EmbeddedPostgres
from backend.dev.reaper import MissingExtra, ServiceError
from backend.dev.s3 import EmbeddedS3

__all__ = [
    "EmbeddedPostgres",
    "EmbeddedS3",
    "LocalServices",
    "MissingExtra",
    "ServiceError",
    "local_services",
]


@dataclass(frozen=True, slots=True)
class LocalServices:
    """Both servers, running."""

    postgres: EmbeddedPostgres
    s3: EmbeddedS3


@contextlib.contextmanager
def local_services(
    directory: Path | None = None, *, durable: bool = True
) -> Iterator[LocalServices]:
    """Run both servers; on the way out neither a process nor a directory of theirs is left.

    `directory` is where they make their own (default: the system's temporary directory; read
    `EmbeddedPostgres` before giving another as root). `durable=False` is for tests: see there.
    """
    postgres = EmbeddedPostgres(directory, durable=durable)
    s3 = EmbeddedS3(directory)
    with contextlib.ExitStack() as stack:
        stack.callback(postgres.stop)
        stack.callback(s3.stop)
        # Entered after them, so left before them: nothing is stopped while it is being started.
        pool = stack.enter_context(ThreadPoolExecutor(2))
        for start in (pool.submit(postgres.start), pool.submit(s3.start)):
            start.result()
        yield LocalServices(postgres, s3)
