"""Where a sent file becomes a picture of ours: one child process, and a short queue before it.

Only the child decodes. This process hands it bytes and takes a new picture back.
"""

import asyncio
import contextlib
from collections.abc import Iterator, Mapping
from typing import IO

from backend.errors import (
    ImageAnimated,
    ImageCorrupt,
    ImageTooComplex,
    ImageTooLarge,
    ImageTooSmall,
    ImageTypeUnsupported,
    RequestError,
    UploadsUnavailable,
)
from backend.renderers.base import RenderedFile, Renderer, RenderFailed, RenderRequest

PLACES = 9  # one picture with the child or on its way to the store, eight that wait

REFUSALS: Mapping[str, type[RequestError]] = {
    "IMAGE_TYPE_UNSUPPORTED": ImageTypeUnsupported,
    "IMAGE_TOO_LARGE": ImageTooLarge,
    "IMAGE_TOO_SMALL": ImageTooSmall,
    "IMAGE_ANIMATED": ImageAnimated,
    "IMAGE_CORRUPT": ImageCorrupt,
    # Limits of ours, but only a picture made to reach them does.
    "RENDER_OUT_OF_MEMORY": ImageTooComplex,
    "RENDER_TIMEOUT": ImageTooComplex,
}


class ImageSanitizer:
    """Paints sent pictures anew with a renderer of its own; bound to the loop that first uses it.

    Those who wait hold a place and nothing else: a file is read into memory when its turn comes.
    """

    def __init__(self, renderer: Renderer, *, places: int = PLACES) -> None:
        self.renderer = renderer
        self.free = places
        self.turn = asyncio.Lock()

    @contextlib.contextmanager
    def place(self) -> Iterator[None]:
        """Room for one upload from its last byte to its answer. Raises `UploadsUnavailable`."""
        if not self.free:
            raise UploadsUnavailable
        self.free -= 1
        try:
            yield
        finally:
            self.free += 1

    async def sanitize(self, file: IO[bytes]) -> RenderedFile:
        """The picture in `file` as we keep it: upright, plain, without anything that it carried.

        Raises `UploadsUnavailable`, or why the picture is refused.
        """
        async with self.turn:
            source = await asyncio.to_thread(file.read)
            request = RenderRequest(stage="normalise", inputs={"source": source})
            try:
                rendered = await self.renderer.render(request)
            except RenderFailed as failed:
                raise refusal(failed) from failed
        return next(made for made in rendered.files if made.name == "upload")

    async def close(self) -> None:
        """End the child."""
        await self.renderer.close()


def refusal(failed: RenderFailed) -> Exception:
    """A failed rendering as the sender may see it; one that is nobody's fault but ours stays."""
    if failed.retryable:
        return UploadsUnavailable("The image could not be checked at the moment. Retry shortly.")
    refused = REFUSALS.get(failed.code)
    return refused(failed.message) if refused else failed
