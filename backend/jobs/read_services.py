"""The services of the routes that read jobs, as one dependency.

One, because Litestar resolves several in a task group, which took a seventh of the time of a job
detail.
"""

import msgspec

from backend.db import Database
from backend.jobs.body_cache import BodyCache
from backend.jobs.wakeups import Wakeups
from backend.storage.presign import Presigner


class ReadServices(msgspec.Struct, frozen=True, kw_only=True):
    """The services."""

    database: Database
    presigner: Presigner
    wakeups: Wakeups
    bodies: BodyCache = msgspec.field(default_factory=BodyCache)
