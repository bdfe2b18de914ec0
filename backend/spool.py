"""A body that may be large, piece by piece: hashed and put aside before anybody has verified it."""

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncGenerator
from typing import IO, Any, cast

from litestar import Request
from litestar.exceptions import InternalServerException

from backend.errors import BadRequest

PIECE_BYTES = 256 * 1024  # bytes; more at once would keep others waiting
MAX_IN_MEMORY = 1024 * 1024  # bytes; a larger file is written to disk
SPOOL_KEY = "atelier_spool"  # in the scope: the body that a guard has read already

AnyRequest = Request[Any, Any, Any]


async def pieces(request: AnyRequest) -> AsyncGenerator[bytes]:
    """The body, in pieces that are soon dealt with. Raises `BadRequest` when the caller goes."""
    try:
        async for chunk in request.stream():
            for start in range(0, len(chunk), PIECE_BYTES):
                yield chunk[start : start + PIECE_BYTES]
    except InternalServerException as error:  # so Litestar calls a caller that hung up
        raise BadRequest("The connection closed before the body was complete.") from error


async def spool_body(request: AnyRequest) -> str:
    """Put the body aside for the handler, and give its SHA-256 in hex. Raises as `pieces` does."""
    digest = hashlib.sha256()
    file = spool_file()
    try:
        size, gathered = 0, bytearray()
        async for piece in pieces(request):
            digest.update(piece)
            gathered += piece
            if (
                len(gathered) >= PIECE_BYTES
            ):  # a thread for each 64 KB of a socket costs more than it saves
                await asyncio.to_thread(write_at, file, size, bytes(gathered))
                size += len(gathered)
                gathered.clear()
        write_at(file, size, bytes(gathered))
    except BaseException:
        file.close()
        raise
    scope: Any = request.scope
    scope[SPOOL_KEY] = file
    return digest.hexdigest()


def drop_spool(scope: Any) -> None:
    """Close the file that was put aside, whoever did not come to reading it."""
    if SPOOL_KEY in scope:
        scope[SPOOL_KEY].close()


def spool_file() -> IO[bytes]:
    """A temporary file without a name, in memory while it is small."""
    return cast("IO[bytes]", tempfile.SpooledTemporaryFile(max_size=MAX_IN_MEMORY))


async def spooled_pieces(file: IO[bytes]) -> AsyncGenerator[bytes]:
    """The body that was put aside. What is behind the last piece may be written over."""
    position = 0
    while piece := await asyncio.to_thread(read_at, file, position):
        yield piece
        position += len(piece)


def write_at(file: IO[bytes], position: int, data: bytes) -> None:
    """Write there."""
    file.seek(position)
    file.write(data)


def read_at(file: IO[bytes], position: int) -> bytes:
    """The piece that begins there."""
    file.seek(position)
    return file.read(PIECE_BYTES)
