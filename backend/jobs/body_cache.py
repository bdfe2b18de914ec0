"""Encoded bodies, each used for as long as its ETag is the current one.

A job's version is read by a narrow statement. To read everything that a response shows, to sign its
URLs and to encode it takes several times as long, and a client that polls without an ETag gets the
same body until the job changes.

A body is sent only if its ETag is that of the version which the database has just returned to the
tenant's role. So no change is missed, and nothing of an erased job or shop is sent. An ETag names
its signing window of five minutes; with the first read of a new window all bodies are dropped.
"""

from collections import OrderedDict
from typing import NamedTuple

import msgspec

MAX_CACHED_BYTES = 32_000_000  # in each process
ENTRY_BYTES = 500  # of an entry, besides its body


class CacheKey(NamedTuple):
    """What is shown: of this shop's job, `part`."""

    shop_domain: str
    public_id: str
    part: str


class CachedBody(NamedTuple):
    """A body as JSON, and its ETag."""

    etag: str
    body: msgspec.Raw


class BodyCache:
    """Bodies of the current signing window; those not used for longest are dropped first."""

    def __init__(self, limit: int = MAX_CACHED_BYTES) -> None:
        self.limit = limit  # bytes
        self.size = 0  # bytes
        self.window = 0
        self.bodies: OrderedDict[CacheKey, CachedBody] = OrderedDict()

    def get(self, key: CacheKey, window: int) -> CachedBody | None:
        """The body that was last put there in this signing window."""
        if window != self.window:
            self.bodies.clear()
            self.window, self.size = window, 0
        cached = self.bodies.get(key)
        if cached is not None:
            self.bodies.move_to_end(key)
        return cached

    def put(self, key: CacheKey, etag: str, body: msgspec.Raw) -> None:
        """Keep the body in place of the one that was there."""
        self.drop(key)
        self.bodies[key] = CachedBody(etag, body)
        self.size += size_of(body)
        while self.size > self.limit:
            self.size -= size_of(self.bodies.popitem(last=False)[1].body)

    def drop(self, key: CacheKey) -> None:
        """Forget the body that is there, if there is one."""
        cached = self.bodies.pop(key, None)
        if cached is not None:
            self.size -= size_of(cached.body)


def size_of(body: msgspec.Raw) -> int:
    """What a body takes in the cache, in bytes."""
    return memoryview(body).nbytes + ENTRY_BYTES
