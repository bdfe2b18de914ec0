"""Parses the multipart body of an upload while it arrives.

Litestar's own parser is not used: it keeps a part without a file name in memory whatever its size,
accepts a thousand parts, and responds 500 to text that is not UTF-8. This one accepts a single
part, refuses as soon as anything else appears, and holds at most one piece of the body in memory:
the rest is in an anonymous temporary file. A signed body is in such a file already, and the part is
moved to its start. The client's file name and content type are ignored.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import IO, Any

from multipart import MultipartError, MultipartSegment, PushMultipartParser

from backend.errors import BadRequest, ImageTooLarge, InvalidRequest, UnsupportedMedia
from backend.http_semantics import is_encoded
from backend.spool import SPOOL_KEY, AnyRequest, pieces, spool_file, spooled_pieces, write_at

PART_NAME = "file"
MAX_FILE_BYTES = 25_000_000  # bytes
MAX_UPLOAD_BODY_BYTES = MAX_FILE_BYTES + 16_384  # plus the part's headers and the boundaries


@contextlib.asynccontextmanager
async def sent_file(request: AnyRequest) -> AsyncIterator[IO[bytes]]:
    """The request's one file, positioned at its start and deleted when the block ends.

    Raises `UnsupportedMedia`, `BadRequest`, `ImageTooLarge` or `InvalidRequest`.
    """
    scope: Any = request.scope
    with scope.get(SPOOL_KEY) or spool_file() as file:
        body = spooled_pieces(file) if SPOOL_KEY in scope else pieces(request)
        try:
            await copy_file_part(body, boundary_of(request), file)
        except MultipartError as error:
            raise BadRequest("The body is not valid multipart/form-data.") from error
        file.seek(0)
        yield file


def boundary_of(request: AnyRequest) -> str:
    """The boundary of the multipart body."""
    content_type, options = request.content_type
    if content_type != "multipart/form-data" or is_encoded(request.headers.get("content-encoding")):
        raise UnsupportedMedia("Send the image as multipart/form-data, in a part named file.")
    if not options.get("boundary"):
        raise BadRequest("The Content-Type has no boundary.")
    return options["boundary"]


async def copy_file_part(body: AsyncGenerator[bytes], boundary: str, file: IO[bytes]) -> None:
    """Copy the one part's bytes to `file`, which may be the file that the body is read from."""
    parts = size = 0
    async with contextlib.aclosing(body):
        with PushMultipartParser(boundary) as parser:
            async for piece in body:
                for event in parser.parse(piece):
                    if isinstance(event, MultipartSegment):
                        parts += 1
                        require_only_file(event, parts)
                    elif event:
                        require_file_size(size + len(event))
                        await asyncio.to_thread(write_at, file, size, event)
                        size += len(event)
    if size == 0:
        raise part_error(PART_NAME, "The file is empty." if parts else "Send one part named file.")
    file.truncate(size)


def require_only_file(part: MultipartSegment, number: int) -> None:
    """Refuse a second part, and a part with another name."""
    if part.name != PART_NAME:
        raise part_error((part.name or "")[:100], "Unknown part. Send one part, named file.")
    if number > 1:
        raise part_error(PART_NAME, "Send exactly one part named file.")


def require_file_size(size: int) -> None:
    """Refuse a file as soon as it is too large."""
    if size > MAX_FILE_BYTES:
        raise ImageTooLarge(
            f"The file is larger than the limit of {MAX_FILE_BYTES // 1_000_000} MB."
        )


def part_error(part: str, why: str) -> InvalidRequest:
    """The error for a part."""
    return InvalidRequest([{"loc": ["body", part], "msg": why, "type": "value_error"}])
