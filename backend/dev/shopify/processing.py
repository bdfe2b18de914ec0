"""The processing of an uploaded file: UPLOADED, then PROCESSING, then READY or FAILED.

It moves on in steps: each of the shop's GraphQL requests is one, and `step_files` is one. The last
step looks at the bytes as Shopify would.
"""

from dataclasses import replace
from datetime import datetime

from backend.dev.shopify import image_header
from backend.dev.shopify.media import Library, Media

MAX_FILE_SIZE = 20_000_000  # bytes: 20 MB
MAX_IMAGE_PIXELS = 25_000_000  # 25 megapixels

FILE_ERROR_MESSAGES = {
    "IMAGE_DOWNLOAD_FAILURE": "The image could not be downloaded.",
    "IMAGE_PROCESSING_FAILURE": "The image could not be processed.",
    "INVALID_IMAGE_FILE_SIZE": "The image is larger than 20 MB.",
    "INVALID_IMAGE_RESOLUTION": "The image has more than 25 megapixels.",
    "UNSUPPORTED_IMAGE_FILE_TYPE": "The image is not of a type that is supported.",
    "FILE_STORAGE_LIMIT_EXCEEDED": "The shop's storage for files is full.",
    "INVALID_SIGNED_URL": "The signed URL is not valid.",
    "MEDIA_TIMEOUT_ERROR": "The media took too long to process.",
}


def step(library: Library, media: Media, now: datetime, *, last: int, fail: str | None) -> Media:
    """Take one file one step on; with its step number `last` it ends.

    `fail` is the FileErrorCode with which it ends then, whatever its bytes are.
    """
    steps = media.steps + 1
    if steps < last:
        return library.put(replace(media, steps=steps, status="PROCESSING", updated_at=now))
    code = fail or verdict(media)
    if code is not None:
        return library.put(
            replace(media, steps=steps, status="FAILED", error=code, source=None, updated_at=now)
        )
    return library.put(_ready(media, steps, now))


def verdict(media: Media) -> str | None:
    """The FileErrorCode that these bytes end with, or None when they are a good picture."""
    content = media.picture.content
    if media.source is not None:
        return "IMAGE_DOWNLOAD_FAILURE"
    if len(content) > MAX_FILE_SIZE:
        return "INVALID_IMAGE_FILE_SIZE"
    if image_header.content_type(content) is None:
        return "UNSUPPORTED_IMAGE_FILE_TYPE"
    size = image_header.size(content)
    if size is None:
        return "IMAGE_PROCESSING_FAILURE"
    return "INVALID_IMAGE_RESOLUTION" if size[0] * size[1] > MAX_IMAGE_PIXELS else None


def _ready(media: Media, steps: int, now: datetime) -> Media:
    content = media.picture.content
    width, height = image_header.size(content) or (0, 0)
    picture = replace(
        media.picture,
        width=width,
        height=height,
        content_type=image_header.content_type(content) or media.picture.content_type,
    )
    return replace(media, picture=picture, steps=steps, status="READY", updated_at=now)
