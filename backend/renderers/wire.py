"""The protocol between parent and child: four bytes of length, then msgpack.

The only argument of the child is a `ChildConfig` as JSON. Then each request on its stdin gets
exactly one `ChildReply` on its stdout.
"""

import struct

import msgspec

from backend.failures.registry import Failure
from backend.renderers.base import Rendered

# Far above any image we make; a child that announces more is broken or hijacked.
MAX_FRAME = 256 * 1024 * 1024
HEADER = struct.Struct(">I")


class RenderLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What one stage may use.

    `memory_bytes` caps address space: measured 0.3 GB for the libraries, 0.6 GB at the peak of a
    1200 × 1500 photo, 0.85 GB for 64 MP onto a 4096 px square. `threads` is for each of libvips and
    onnxruntime; a second one gains a quarter of the wall time for some 70 MB more.
    """

    wall_seconds: float = 60.0
    cpu_seconds: int = 45
    memory_bytes: int = 1536 * 1024**2
    threads: int = 1


class ChildConfig(msgspec.Struct, frozen=True, kw_only=True):
    parent_pid: int
    model_path: str | None
    limits: RenderLimits


class ChildReply(msgspec.Struct, frozen=True, kw_only=True):
    """`rendered` or `failure` is set. If `spent`, the child is to be replaced."""

    rendered: Rendered | None = None
    failure: Failure | None = None
    spent: bool = False


def frame(message: msgspec.Struct) -> bytes:
    """The message as it is written to the pipe."""
    body = msgspec.msgpack.encode(message)
    return HEADER.pack(len(body)) + body


def body_length(header: bytes) -> int:
    """The length that a four-byte header announces. Raises `ValueError` above `MAX_FRAME`."""
    (length,) = HEADER.unpack(header)
    if length > MAX_FRAME:
        raise ValueError(f"frame of {length} bytes")
    return int(length)
