"""Transformed images on the CDN: their URLs, and the bytes that are served there.

Source: shopify.dev, `ImageTransformInput`, 2026-10: sides of 1 to 5760 pixels; "any file type to
.jpg, and any file type to .webp", but only SVG to PNG. Transformations are best effort: whatever
cannot be done is left out. How the URL looks is not documented, so no client may depend on it.

Decoded by Pillow and libheif's own plugin, not by the product's libvips.
"""

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

from pi_heif import register_heif_opener
from PIL import Image, ImageOps, ImageSequence, UnidentifiedImageError

from backend.dev.shopify.media import ImageContent, Media
from backend.dev.shopify.refusals import error

MAX_TRANSFORM_SIDE = 5760  # pixels
_NAME = re.compile(
    r"(?P<stem>.+)_(?P<width>\d*)x(?P<height>\d*)(?P<suffix>\.\w+?)(\.(?P<kind>\w+))?"
)
_PILLOW_FORMATS = {"jpg": "JPEG", "webp": "WEBP"}

register_heif_opener()


@dataclass(frozen=True, slots=True, kw_only=True)
class Transformation:
    """A longest width and height in pixels, and a file type: `jpg` or `webp`."""

    width: int | None
    height: int | None
    kind: str | None


def image_url(media: Media, transform: Mapping[str, Any] | None) -> str:
    """The URL of the image. Raises GraphQLError for a side that Shopify does not make."""
    if not transform:
        return media.url
    sides = [transform.get(name) for name in ("maxWidth", "maxHeight")]
    if any(side is not None and not 1 <= side <= MAX_TRANSFORM_SIDE for side in sides):
        raise error(
            f"Image width and height must be between 1 and {MAX_TRANSFORM_SIDE}", "BAD_REQUEST"
        )
    width, height = (str(side or "") for side in sides)
    kind = str(transform.get("preferredContentType") or "").lower()
    name = PurePosixPath(media.path)
    suffix = f"{name.suffix}.{kind}" if kind in _PILLOW_FORMATS else name.suffix
    transformed = name.with_name(f"{name.stem}_{width}x{height}{suffix}")
    return media.url.replace(media.path, str(transformed))


def transformation(path: str) -> tuple[str, Transformation] | None:
    """The path of the original and what to do with it; None for the path of an original."""
    name = PurePosixPath(path)
    found = _NAME.fullmatch(name.name)
    if found is None:
        return None
    width, height = (int(found[side]) if found[side] else None for side in ("width", "height"))
    original = name.with_name(found["stem"] + found["suffix"])
    return str(original), Transformation(width=width, height=height, kind=found["kind"])


def transformed(picture: ImageContent, wanted: Transformation) -> ImageContent:
    """The picture as the CDN serves it; bytes that are no image stay as they are."""
    try:
        with Image.open(io.BytesIO(picture.content)) as image:
            kind = _PILLOW_FORMATS.get(wanted.kind or "", image.format or "")
            content = _encoded(image, kind, wanted)
    except (UnidentifiedImageError, OSError, ValueError, KeyError):
        return picture
    return replace(picture, content=content, content_type=f"image/{kind.lower()}")


def _encoded(image: Image.Image, kind: str, wanted: Transformation) -> bytes:
    """Upright, in RGB; JPEG loses transparency, and every frame but the first."""
    mode = "RGBA" if image.has_transparency_data and kind != "JPEG" else "RGB"
    frames = [_shrunk(frame, wanted).convert(mode) for frame in ImageSequence.Iterator(image)]
    is_animated = len(frames) > 1 and kind != "JPEG"
    more = {"save_all": True, "append_images": frames[1:]} if is_animated else {}
    target = io.BytesIO()
    profile = image.info.get("icc_profile")
    frames[0].save(target, kind, quality=90, icc_profile=profile, **more)
    return target.getvalue()


def _shrunk(frame: Image.Image, wanted: Transformation) -> Image.Image:
    upright = ImageOps.exif_transpose(frame)
    if wanted.width or wanted.height:
        upright.thumbnail((wanted.width or upright.width, wanted.height or upright.height))
    return upright
