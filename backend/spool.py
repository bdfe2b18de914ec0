"""Large request bodies: read in chunks, hashed and spooled to a file before verification."""

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncGenerator
from typing import IO, Any, cast

from litestar import Request
from litestar.exceptions import InternalServerException

from backend.errors import BadRequest

PIECE_BYTES = 256 * 1024  # more at once would block other requests
MAX_IN_MEMORY = 1024 * 1024  # bytes; a larger file is written to disk
SPOOL_KEY = "atelier_spool"  # in the ASGI scope: the body that a guard has already read

AnyRequest = Request[Any, Any, Any]


async def pieces(request: AnyRequest) -> AsyncGenerator[bytes]:
    """The body in pieces of `PIECE_BYTES` at most. Raises `BadRequest` if the client hangs up."""
    try:
        async for chunk in request.stream():
            for start in range(0, len(chunk), PIECE_BYTES):
                yield chunk[start : start + PIECE_BYTES]
    except InternalServerException as error:  # what Litestar raises when the client hangs up
        raise BadRequest("The connection closed before the body was complete.") from error


async def spool_body(request: AnyRequest) -> str:
    """Spool the body for the handler; returns its SHA-256 in hex. Raises as `pieces` does."""
    digest = hashlib.sha256()
    file = spool_file()
    try:
        size, gathered = 0, bytearray()
        async for piece in pieces(request):
            digest.update(piece)
            gathered += piece
            # A thread for each 64 KB of a socket costs more than it saves.
            if len(gathered) >= PIECE_BYTES:
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
    """Close the spooled file, also if the handler did not read it."""
    if SPOOL_KEY in scope:
        scope[SPOOL_KEY].close()


def spool_file() -> IO[bytes]:
    """An anonymous temporary file, in memory while it is small."""
    return cast("IO[bytes]", tempfile.SpooledTemporaryFile(max_size=MAX_IN_MEMORY))


async def spooled_pieces(file: IO[bytes]) -> AsyncGenerator[bytes]:
    """The spooled body in pieces. The file may be overwritten up to the last piece read."""
    position = 0
    while piece := await asyncio.to_thread(read_at, file, position):
        yield piece
        position += len(piece)


def write_at(file: IO[bytes], position: int, data: bytes) -> None:
    """Write `data` at that position."""
    file.seek(position)
    file.write(data)


def read_at(file: IO[bytes], position: int) -> bytes:
    """The piece at that position."""
    file.seek(position)
    return file.read(PIECE_BYTES)
