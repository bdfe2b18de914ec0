"""From the master to the pictures that a merchant downloads, in the sizes and formats asked for."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import numpy as np
import pyvips
from numpy.typing import NDArray

from backend.imaging.encode import (
    SUFFIXES,
    FinalFormat,
    decode_final,
    decode_own,
    encode_final,
    placeholder,
)
from backend.renderers.base import Rendered
from backend.renderers.files import file_of, verdict_of

FORMAT_NAMES: dict[FinalFormat, str] = {"jpeg": "JPEG", "webp": "WebP", "avif": "AVIF"}


class Output(msgspec.Struct, frozen=True, kw_only=True):
    """One final picture: `size` is its longer side in pixels."""

    size: int
    format: FinalFormat


Outputs = tuple[Output, ...]
JPEG_AND_WEBP = (Output(size=2048, format="jpeg"), Output(size=1024, format="webp"))

# What to say about a final, given its decoded (height, width, 3) uint8 pixels.
Story = Callable[[NDArray[np.uint8]], dict[str, Any]]


def longest(outputs: Outputs) -> int:
    """The longer side of a master from which no final has to be enlarged."""
    return max(output.size for output in outputs)


def encode_outputs(
    master: bytes,
    outputs: Outputs,
    *,
    kind: str,
    stem: str,
    story: Story,
    label: str | None = None,
    smooth: bool = False,
) -> Rendered:
    """Finals of that kind out of the PNG `master`, and the verdict on the first as facts.

    Each is decoded again: a file that cannot be opened must not be delivered, and what there is to
    measure is measured as its viewer will see it. Without a `label` it says size and format.
    `smooth` is for pictures with long soft gradients.
    """
    pixels = decode_own(master)
    lqip = placeholder(pixels)
    files = []
    for output, data in zip(outputs, _encoded(pixels, outputs, smooth), strict=True):
        seen = decode_final(data, output.format)
        height, width = seen.shape[:2]
        final = file_of(
            name=f"{stem}-{output.size}{SUFFIXES[output.format]}",
            kind=kind,
            role="final",
            label=label or f"{width} × {height} {FORMAT_NAMES[output.format]}",
            content_type=f"image/{output.format}",
            data=data,
            meta={"width": width, "height": height, "lqip": lqip, **story(seen)},
        )
        files.append(final)
    return Rendered(files=files, facts=verdict_of(files[0].meta))


def _encoded(pixels: NDArray[np.uint8], outputs: Outputs, smooth: bool) -> Iterable[bytes]:
    """Side by side on as many threads as libvips may use: most encoders keep to one."""

    def encoded(output: Output) -> bytes:
        return encode_final(pixels, size=output.size, format_=output.format, smooth=smooth)

    with ThreadPoolExecutor(pyvips.concurrency_get()) as pool:
        return list(pool.map(encoded, outputs))
