"""Re-encodes uploaded images in one child process, with a short queue.

Only the child decodes the untrusted file; this process sends it bytes and gets a new image.
"""

import asyncio
import contextlib
from collections import Counter
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
from backend.failures import codes, images
from backend.renderers.base import (
    NativeCrash,
    RenderedFile,
    Renderer,
    RenderFailed,
    RenderRequest,
)
from backend.workflows.stages import StageFile, StageName

MAX_PENDING_UPLOADS = 9  # one in the child or being stored, eight that wait
# Of one shop: the others have the rest of the slots, and room for their bodies. It counts from the
# first byte of the body on, or where a signature covers the body, once that was read.
MAX_UPLOADS_OF_A_SHOP = 4
SHOP_UPLOADS_BUSY = "This shop has too many uploads in progress; nothing was stored. Retry shortly."

ERRORS_BY_CODE: Mapping[str, type[RequestError]] = {
    images.IMAGE_TYPE_UNSUPPORTED.code: ImageTypeUnsupported,
    images.IMAGE_TOO_LARGE.code: ImageTooLarge,
    images.IMAGE_TOO_SMALL.code: ImageTooSmall,
    images.IMAGE_ANIMATED.code: ImageAnimated,
    images.IMAGE_CORRUPT.code: ImageCorrupt,
    # Limits of ours, but only a picture made to reach them does.
    codes.RENDER_OUT_OF_MEMORY.code: ImageTooComplex,
    codes.RENDER_TIMEOUT.code: ImageTooComplex,
}


class ImageSanitizer:
    """Re-encodes uploaded images with its own renderer; bound to the event loop that uses it first.

    A waiting upload holds a slot but no memory: its file is read when the renderer is free.
    """

    def __init__(self, renderer: Renderer, *, capacity: int = MAX_PENDING_UPLOADS) -> None:
        self.renderer = renderer
        self.free = capacity
        self.of_shop: Counter[str] = Counter()
        self.renderer_lock = asyncio.Lock()

    @contextlib.contextmanager
    def counted(self, shop: str) -> Iterator[None]:
        """Count an upload of the shop until it is stored. Raises `UploadsUnavailable`."""
        if self.of_shop[shop] >= MAX_UPLOADS_OF_A_SHOP:
            raise UploadsUnavailable(SHOP_UPLOADS_BUSY)
        self.of_shop[shop] += 1
        try:
            yield
        finally:
            self.of_shop[shop] -= 1
            if not self.of_shop[shop]:
                del self.of_shop[shop]

    @contextlib.contextmanager
    def slot(self) -> Iterator[None]:
        """Hold a slot for one upload until it is stored. Raises `UploadsUnavailable`."""
        if not self.free:
            raise UploadsUnavailable
        self.free -= 1
        try:
            yield
        finally:
            self.free += 1

    async def sanitize(self, file: IO[bytes]) -> RenderedFile:
        """Re-encode the image in `file`: upright, sRGB, without metadata.

        Raises `UploadsUnavailable`, or the error for an image that is refused.
        """
        async with self.renderer_lock:
            source = await asyncio.to_thread(file.read)
            request = RenderRequest(stage=StageName.NORMALISE, inputs={StageFile.SOURCE: source})
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
    if isinstance(failed, NativeCrash):
        return ImageCorrupt(images.IMAGE_CORRUPT.message)
    if failed.failure.retryable:
        return UploadsUnavailable("The image could not be checked at the moment. Retry shortly.")
    refused = ERRORS_BY_CODE.get(failed.failure.code)
    return refused(failed.failure.message) if refused else failed
