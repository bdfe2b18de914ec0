"""The multipart body of an upload, read as it arrives.

Litestar's own reader is not used: it keeps a part without a file name in memory whatever its
size, takes a thousand parts, and answers 500 to text that is not UTF-8. This one knows of a single
part, refuses at the first byte that does not belong, and holds no more than a piece of the body:
the rest is in a temporary file without a name. A signed body is in such a file already, and the
part is moved to its beginning. The sender's file name and content type are not looked at.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import IO, Any

from multipart import MultipartError, MultipartSegment, PushMultipartParser

from backend.errors import BadRequest, ImageTooLarge, InvalidRequest, UnsupportedMedia
from backend.spool import SPOOL, AnyRequest, pieces, spool_file, spooled_pieces, write_at

PART = "file"
MAX_FILE = 25_000_000  # bytes
MAX_BODY = MAX_FILE + 16_384  # the part's headers and the boundaries around it


@contextlib.asynccontextmanager
async def sent_file(request: AnyRequest) -> AsyncIterator[IO[bytes]]:
    """The request's one file, to be read from its start, and gone when the block ends.

    Raises `UnsupportedMedia`, `BadRequest`, `ImageTooLarge` or `InvalidRequest`.
    """
    scope: Any = request.scope
    with scope.get(SPOOL) or spool_file() as file:
        body = spooled_pieces(file) if SPOOL in scope else pieces(request)
        try:
            await receive(body, boundary_of(request), file)
        except MultipartError as error:
            raise BadRequest("The body is not valid multipart/form-data.") from error
        file.seek(0)
        yield file


def boundary_of(request: AnyRequest) -> str:
    """What separates the parts."""
    content_type, options = request.content_type
    if content_type != "multipart/form-data" or "content-encoding" in request.headers:
        raise UnsupportedMedia("Send the image as multipart/form-data, in a part named file.")
    if not options.get("boundary"):
        raise BadRequest("The Content-Type has no boundary.")
    return options["boundary"]


async def receive(body: AsyncGenerator[bytes], boundary: str, file: IO[bytes]) -> None:
    """Write the one part's bytes into `file`, which may be the one that the body comes from."""
    parts = size = 0
    async with contextlib.aclosing(body):
        with PushMultipartParser(boundary) as parser:
            async for piece in body:
                for event in parser.parse(piece):
                    if isinstance(event, MultipartSegment):
                        parts += 1
                        require_only_file(event, parts)
                    elif event:
                        require_allowed(size + len(event))
                        await asyncio.to_thread(write_at, file, size, event)
                        size += len(event)
    if size == 0:
        raise refused(PART, "The file is empty." if parts else "Send one part named file.")
    file.truncate(size)


def require_only_file(part: MultipartSegment, number: int) -> None:
    """Refuse a second part, and one by another name."""
    if part.name != PART:
        raise refused((part.name or "")[:100], "Unknown part. Send one part, named file.")
    if number > 1:
        raise refused(PART, "Send exactly one part named file.")


def require_allowed(size: int) -> None:
    """Refuse a file as soon as it is too long."""
    if size > MAX_FILE:
        raise ImageTooLarge(f"The file is larger than the limit of {MAX_FILE // 1_000_000} MB.")


def refused(part: str, why: str) -> InvalidRequest:
    """What is wrong with a part."""
    return InvalidRequest([{"loc": ["body", part], "msg": why, "type": "value_error"}])
