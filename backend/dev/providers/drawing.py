"""Draws what the stand-in delivers: plain figures and shapes, with the words STAND-IN in a corner.

The pictures show the request's own images, so that a person sees what went in. Pillow, not the
product's libvips: its decoders are others, and it brings a font along.
"""

import functools
import io
import re

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from backend.dev.providers.models import DrawnKind

SIZE = (864, 1296)  # FASHN's on fal, in pixels
PIXELS = 1_048_576  # of a picture whose aspect ratio is asked for
SKIN, TROUSERS = (203, 173, 150), (88, 94, 108)
CORNER_TEXT = "STAND-IN"

Drawing = Image.Image


@functools.lru_cache(maxsize=64)
def drawn_picture(
    kind: DrawnKind,
    images: tuple[bytes, ...],
    seed: int,
    image_format: str,
    size: tuple[int, int] | None,
) -> tuple[bytes, int, int]:
    """A picture's bytes, width and height. Pure: the same request is drawn once.

    Raises `OSError` for an image that cannot be decoded.
    """
    opened = [_opened(content) for content in images]
    picture = _DRAWN[kind](opened, seed)
    if size is not None and size != picture.size:
        picture = _fitted(picture, size)
    _label(picture, f"{CORNER_TEXT} · {kind} · seed {seed}")
    out = io.BytesIO()
    picture.save(out, image_format.upper(), **_SAVE[image_format])
    return out.getvalue(), picture.width, picture.height


def size_for(ratio: object) -> tuple[int, int] | None:
    """Width and height for an `aspect_ratio` such as 4:5, at about a megapixel; else None."""
    match = re.fullmatch(r"(\d{1,2}):(\d{1,2})", str(ratio))
    if match is None:
        return None
    width, height = int(match[1]), int(match[2])
    scale = (PIXELS / (width * height)) ** 0.5
    return round(width * scale), round(height * scale)


def _worn(images: list[Drawing], seed: int) -> Drawing:
    """The last image's garment on the person of the first, or on a plain figure."""
    canvas = _fitted(images[0]) if len(images) > 1 else _figure(seed)
    garment = _cut_out(images[-1])
    width = int(canvas.width * 0.62)
    height = min(int(garment.height * width / garment.width), int(canvas.height * 0.62))
    garment = garment.resize((width, height))
    canvas.paste(garment, ((canvas.width - width) // 2, int(canvas.height * 0.2)), garment)
    return canvas


def _person(_images: list[Drawing], seed: int) -> Drawing:
    return _figure(seed)


def _product(images: list[Drawing], _seed: int) -> Drawing:
    canvas = Image.new("RGB", (1024, 1024), "white")
    garment = _cut_out(images[-1])
    garment.thumbnail((820, 820))
    at = ((canvas.width - garment.width) // 2, (canvas.height - garment.height) // 2)
    canvas.paste(garment, at, garment)
    return canvas


def _scene(_images: list[Drawing], seed: int) -> Drawing:
    """A wall and a floor, whose colour is the seed's."""
    canvas = Image.new("RGB", (1024, 1024), _tint(seed))
    ImageDraw.Draw(canvas).rectangle((0, 760, 1024, 1024), fill=(150, 128, 106))
    return canvas


def _edited(images: list[Drawing], seed: int) -> Drawing:
    """The first image with a frame: everything in it is still there."""
    canvas = _fitted(images[0])
    ImageDraw.Draw(canvas).rectangle(
        (0, 0, canvas.width - 1, canvas.height - 1), outline=_tint(seed), width=24
    )
    return canvas


_DRAWN = {
    "worn": _worn,
    "person": _person,
    "product": _product,
    "scene": _scene,
    "edit": _edited,
}
_SAVE: dict[str, dict[str, int]] = {
    "png": {"compress_level": 1},
    "jpeg": {"quality": 90},
    "webp": {"quality": 90, "method": 0},
}


def _opened(content: bytes) -> Drawing:
    picture = Image.open(io.BytesIO(content))
    picture.draft("RGB", SIZE)  # a large JPEG is decoded smaller
    picture.thumbnail(SIZE)
    return picture.convert("RGBA")


def _fitted(picture: Drawing, size: tuple[int, int] = SIZE) -> Drawing:
    """The whole picture on a canvas of this size, in the colour of its lower left corner."""
    canvas = Image.new("RGB", size, picture.convert("RGB").getpixel((0, picture.height - 1)))
    scale = min(size[0] / picture.width, size[1] / picture.height)
    picture = picture.resize((round(picture.width * scale), round(picture.height * scale)))
    at = ((size[0] - picture.width) // 2, (size[1] - picture.height) // 2)
    canvas.paste(picture, at, picture if picture.mode == "RGBA" else None)
    return canvas


def _figure(seed: int) -> Drawing:
    """A figure of simple shapes that nobody takes for a person."""
    canvas = Image.new("RGB", SIZE, _tint(seed))
    pen = ImageDraw.Draw(canvas)
    pen.ellipse((352, 50, 512, 250), fill=SKIN)
    pen.rectangle((400, 220, 464, 320), fill=SKIN)
    pen.rounded_rectangle((250, 300, 614, 760), 80, fill=SKIN)
    pen.rounded_rectangle((170, 310, 260, 800), 45, fill=SKIN)
    pen.rounded_rectangle((604, 310, 694, 800), 45, fill=SKIN)
    pen.rounded_rectangle((270, 700, 424, 1280), 40, fill=TROUSERS)
    pen.rounded_rectangle((440, 700, 594, 1280), 40, fill=TROUSERS)
    return canvas


def _cut_out(picture: Drawing) -> Drawing:
    """The picture without its background: by its own alpha, or by the colour of its corners."""
    pixels = np.asarray(picture).copy()
    if (pixels[..., 3] == 255).all():
        corners = pixels[[0, 0, -1, -1], [0, -1, 0, -1], :3].astype(np.int16)
        away = np.abs(pixels[..., :3].astype(np.int16) - corners.mean(axis=0)).max(axis=2)
        pixels[..., 3] = np.where(_filled(away > 24), 255, 0)
    found = Image.fromarray(pixels)
    return found.crop(found.getchannel("A").getbbox())


def _filled(mask: np.ndarray) -> np.ndarray:
    """The mask without holes: with every point that it surrounds on all four sides."""
    spread = np.logical_or.accumulate
    right, down = spread(mask, axis=1), spread(mask, axis=0)
    left, up = spread(mask[:, ::-1], axis=1)[:, ::-1], spread(mask[::-1], axis=0)[::-1]
    filled: np.ndarray = right & left & down & up
    return filled


def _tint(seed: int) -> tuple[int, int, int]:
    """A pale colour of the seed's."""
    return (200 + seed % 40, 200 + seed // 40 % 40, 200 + seed // 1600 % 40)


def _label(picture: Drawing, words: str) -> None:
    pen = ImageDraw.Draw(picture)
    font = ImageFont.load_default(30)
    _, _, right, bottom = pen.textbbox((12, 8), words, font=font)
    pen.rectangle((0, 0, right + 12, bottom + 10), fill=(170, 20, 60))
    pen.text((12, 8), words, fill="white", font=font)
