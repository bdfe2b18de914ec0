"""Validates new files: a staged upload or an external URL, an alt text and a name."""

from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from backend.dev.shopify.graphql_context import GraphQlContext
from backend.dev.shopify.media import ImageContent
from backend.dev.shopify.refusals import Refusal
from backend.dev.shopify.staging import STAGING_HOST

MAX_ALT_LENGTH = 512  # characters
IMAGE_EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".heic"})
SAME_EXTENSION = {".jpeg": ".jpg"}


def initial_content(
    context: GraphQlContext, source: str, alt: str | None, filename: str | None, at: list[str]
) -> tuple[ImageContent, str | None]:
    """The picture that a new file starts with, and the URL it has still to be fetched from.

    Raises Refusal when the source, the alt text or the name will not do.
    """
    check_alt(alt, [*at, "alt"])
    target = context.platform.staging.uploaded(source, context.shop.number)
    if target is None and not _is_external(source):
        raise Refusal(
            "INVALID_IMAGE_SOURCE_URL",
            [*at, "originalSource"],
            "Invalid image source url value provided",
        )
    original = target.filename if target else unquote(PurePosixPath(urlsplit(source).path).name)
    name = _checked_name(filename, original, [*at, "filename"])
    content = target.content or b"" if target else b""
    kind = target.content_type if target else ""
    picture = ImageContent(content=content, content_type=kind, filename=name, width=0, height=0)
    return picture, None if target else source


def check_alt(alt: str | None, at: list[str]) -> None:
    """Refuse an alt text that is too long."""
    if alt is not None and len(alt) > MAX_ALT_LENGTH:
        raise Refusal(
            "ALT_VALUE_LIMIT_EXCEEDED", at, f"The alt value exceeds the limit of {MAX_ALT_LENGTH}"
        )


def _is_external(source: str) -> bool:
    try:
        url = urlsplit(source)
        known = url.hostname not in (None, "", STAGING_HOST)  # of a staged one the bytes are there
        return url.scheme == "https" and known and url.port in (None, 443)
    except ValueError:
        return False


def _checked_name(filename: str | None, original: str, at: list[str]) -> str:
    name = filename if filename is not None else original or "image.jpg"
    if not is_filename(name):
        raise Refusal("INVALID_FILENAME", at, "The provided filename is invalid")
    if filename is None:
        return name
    if _extension(name) not in IMAGE_EXTENSIONS:
        raise Refusal("INVALID_FILENAME_EXTENSION", at, "Invalid filename extension")
    # A signed URL often has no name of its own to compare with.
    if _extension(original) in IMAGE_EXTENSIONS and _extension(original) != _extension(name):
        raise Refusal(
            "MISMATCHED_FILENAME_AND_ORIGINAL_SOURCE",
            at,
            "Custom filename does not match the original source's extension",
        )
    return name


def is_filename(name: str) -> bool:
    """Whether a file can be called so."""
    return bool(name.strip(". ")) and len(name) <= 255 and not set(name) & set('/\\?#"\n\r\0')


def _extension(name: str) -> str:
    suffix = PurePosixPath(name).suffix.lower()
    return SAME_EXTENSION.get(suffix, suffix)
