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

MAX_PENDING_UPLOADS = 9  # one picture with the child or on its way to the store, eight that wait

ERRORS_BY_CODE: Mapping[str, type[RequestError]] = {
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

    def __init__(self, renderer: Renderer, *, capacity: int = MAX_PENDING_UPLOADS) -> None:
        self.renderer = renderer
        self.free = capacity
        self.turn = asyncio.Lock()

    @contextlib.contextmanager
    def slot(self) -> Iterator[None]:
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
                raise upload_error(failed) from failed
        return next(made for made in rendered.files if made.name == "upload")

    async def close(self) -> None:
        """End the child."""
        await self.renderer.close()


def upload_error(failed: RenderFailed) -> Exception:
    """A failed rendering as the sender may see it; one that is nobody's fault but ours stays."""
    if failed.retryable:
        return UploadsUnavailable("The image could not be looked at just now. Retry shortly.")
    refused = ERRORS_BY_CODE.get(failed.code)
    return refused(failed.message) if refused else failed
