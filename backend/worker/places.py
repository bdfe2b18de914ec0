"""A worker's places: no shop's backlog takes them all, however long its renders are.

A shop's first few unfinished jobs wait at one entry point, what it has asked for beyond at another
(`jobs.service.enqueue_jobs`). The backlogs, of one shop or of many, have as many places as keep the
render processes busy, and priorities settle who of them is next. All other places are kept for
jobs of shops that have few, and for errands: these begin at once.

A place costs a picture in memory. The render processes are what is dear, and none of them is kept
free: a backlog's stages only let the others' go first. So a shop that is alone loses nothing.
"""

from dataclasses import dataclass

import msgspec

from backend.jobs.service import FEW
from backend.renderers.base import Rendered, Renderer, RenderRequest

JOBS_A_SLOT = 2  # while one renders, another fetches or stores


@dataclass(frozen=True)
class Places:
    """How many entries a worker with that many render processes works on at once."""

    slots: int

    @property
    def backlog(self) -> int:
        """At most so many of the shops' backlogs."""
        return self.slots * JOBS_A_SLOT

    @property
    def all(self) -> int:
        """Of any kind: as many again, beside the few that a shop with a backlog may have there."""
        return 2 * self.backlog + FEW


class Patient:
    """The renderer as a backlog's jobs have it: their stages let others' go first."""

    def __init__(self, renderer: Renderer) -> None:
        self.renderer = renderer
        self.name = renderer.name

    async def render(self, request: RenderRequest) -> Rendered:
        """Run one stage when it is its turn."""
        return await self.renderer.render(msgspec.structs.replace(request, patient=True))

    async def close(self) -> None:
        """It is closed by whoever opened it."""
