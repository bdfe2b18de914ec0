"""Which format a file has, by its first bytes; its name and its type are never asked.

A file that is no image we read is refused with its format's name where we know it, and with what to
do about it.
"""

from typing import Literal, get_args

from backend.failures.images import IMAGE_ANIMATED, IMAGE_TYPE_UNSUPPORTED
from backend.failures.registry import Failed
from backend.imaging.boxes import brands_of

Format = Literal["jpeg", "png", "webp", "gif", "tiff", "avif", "heic"]

FORMATS: tuple[Format, ...] = get_args(Format)
SIGNATURES: tuple[tuple[bytes, Format], ...] = (
    (b"\xff\xd8\xff", "jpeg"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"II+\0", "tiff"),  # BigTIFF
    (b"MM\0+", "tiff"),
)
NOT_READ = (
    (b"%PDF-", "PDF document"),
    (b"8BPS", "Photoshop file (PSD)"),
    (b"BM", "Windows bitmap (BMP)"),
    (b"\xff\x0a", "JPEG XL image"),
    (b"\0\0\0\x0cJXL ", "JPEG XL image"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000 image"),
    (b"<svg", "SVG drawing"),
)
AVIF_BRANDS = frozenset({b"avif", b"avis"})
HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
SEQUENCE_BRANDS = frozenset({b"avis", b"hevc", b"hevx", b"msf1"})


class ImageRefused(Failed):
    """The image cannot be used; the failure's message says what to do about it."""


def format_of(data: bytes) -> Format:
    """The file's format. Raises `ImageRefused` for any other, and for a sequence of pictures."""
    found = next((name for start, name in SIGNATURES if data.startswith(start)), None)
    if found is None and data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        found = "webp"
    found = found or _in_heif_container(data)
    if found is None:
        raise _not_read(data)
    return found


def unsupported(what: str, instead: str) -> ImageRefused:
    """The refusal of a kind of file: what it is, and what to do."""
    return ImageRefused(IMAGE_TYPE_UNSUPPORTED.with_message(f"This is {what}. {instead}"))


def _in_heif_container(data: bytes) -> Format | None:
    """AVIF and HEIC share a container; its brands say whose pictures are in it."""
    major, brands = brands_of(data)
    if major in SEQUENCE_BRANDS:
        raise ImageRefused(IMAGE_ANIMATED)
    if brands & AVIF_BRANDS:
        return "avif"
    return "heic" if brands & HEIC_BRANDS else None


def _not_read(data: bytes) -> ImageRefused:
    name = next((name for start, name in NOT_READ if data.startswith(start)), None)
    if name is None:
        return ImageRefused(IMAGE_TYPE_UNSUPPORTED)
    return unsupported(f"a {name}", "Save the photo as JPEG or PNG and try again.")
