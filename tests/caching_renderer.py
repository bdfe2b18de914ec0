"""The real renderer, with a memory: what it has made once is not made again.

A picture takes two seconds of a core, and most tests that have one made are about what becomes of
it. The same bytes and parameters come out the same: `tests/backend/worker/test_lost_objects.py`
and `tests/flows/test_workflows.py` see to that, after `forget`.
"""

import hashlib

import msgspec

from backend.renderers.base import Rendered, Renderer, RenderFailed, RenderRequest

REMEMBERED = 64  # stages; some megabytes each


class CachingRenderer:
    """Asks another renderer, once for each request, whichever job it is of."""

    def __init__(self, renderer: Renderer) -> None:
        self.renderer = renderer
        self.name = renderer.name
        self.made: dict[bytes, Rendered | RenderFailed] = {}

    async def render(self, request: RenderRequest) -> Rendered:
        """What the renderer answered to the same request, or what it answers now."""
        anonymous = msgspec.structs.replace(request, job_id=None, idempotency_token=None)
        key = hashlib.sha256(msgspec.msgpack.encode(anonymous, order="sorted")).digest()
        if key not in self.made:
            self.made[key] = await self.answer(request)
            while len(self.made) > REMEMBERED:
                del self.made[next(iter(self.made))]
        made = self.made[key]
        if isinstance(made, RenderFailed):
            raise RenderFailed(made.failure)
        return made

    async def answer(self, request: RenderRequest) -> Rendered | RenderFailed:
        """The renderer's own answer; a failure that may pass is raised, for it is not to stay."""
        try:
            return await self.renderer.render(request)
        except RenderFailed as failed:
            if failed.failure.retryable:
                raise
            return failed

    def forget(self) -> None:
        """From now on everything is made anew."""
        self.made.clear()

    async def close(self) -> None:
        """Close the renderer."""
        await self.renderer.close()
