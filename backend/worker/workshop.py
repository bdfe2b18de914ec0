"""What a worker works with."""

import asyncio

import httpx
import msgspec

from backend.db import Database
from backend.renderers.base import Renderer
from backend.storage.objects import ObjectStore


class Workshop(msgspec.Struct, frozen=True, kw_only=True):
    """The services of one worker process. `stopping` is set once it should hand over its jobs."""

    database: Database
    store: ObjectStore
    http: httpx.AsyncClient
    renderer: Renderer
    stopping: asyncio.Event
