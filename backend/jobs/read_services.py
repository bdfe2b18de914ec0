"""What the routes that read jobs work with, as one dependency.

One, because Litestar resolves several in a task group, which took a seventh of a job detail's time.
"""

import msgspec

from backend.db import Database
from backend.jobs.wakeups import Wakeups
from backend.storage.presign import Presigner


class ReadServices(msgspec.Struct, frozen=True, kw_only=True):
    """The services."""

    database: Database
    presigner: Presigner
    wakeups: Wakeups
