"""From the master to the final pictures, in the sizes and formats that were asked for."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pyvips
from numpy.typing import NDArray

from backend.imaging import filters
from backend.imaging.encode import (
    SUFFIXES,
    FinalFormat,
    decode_own,
    encode_final,
    placeholder,
)
from backend.imaging.source_type import DigitalSourceType
from backend.imaging.thumbnail import THUMBNAIL_SIDE
from backend.renderers.base import Rendered, RenderedFile
from backend.renderers.files import file_of, thumbnail_of, verdict_of
from backend.workflows.pictures import THUMBNAIL, Output, Outputs

FORMAT_NAMES: dict[FinalFormat, str] = {"jpeg": "JPEG", "webp": "WebP", "avif": "AVIF"}


# A final's meta, given its decoded (height, width, 3) uint8 pixels.
MetaOf = Callable[[NDArray[np.uint8]], dict[str, Any]]


def longest(outputs: Outputs) -> int:
    """The longer side of a master from which no final has to be enlarged."""
    return max(output.size for output in outputs)


def encode_outputs(
    pixels: NDArray[np.uint8],
    outputs: Outputs,
    *,
    kind: str,
    stem: str,
    meta_of: MetaOf,
    source_type: DigitalSourceType,
    label: str | None = None,
    smooth: bool = False,
) -> Rendered:
    """Finals of that kind, made from the master's (height, width, 3) `pixels`, and a thumbnail.

    The facts are the verdict on the first final.

    Each final is decoded again: a file that cannot be opened must not be delivered, and it is
    measured as its viewer will see it. `source_type` is written into each. Without a `label`, size
    and format are the label. `smooth` is for pictures with long soft gradients.
    """
    small = filters.shrunk(pixels, max(1, max(pixels.shape) // THUMBNAIL_SIDE))
    lqip = placeholder(small)

    def final(output: Output) -> RenderedFile:
        data = encode_final(
            pixels,
            size=output.size,
            format_=output.format,
            source_type=source_type,
            smooth=smooth,
        )
        seen = decode_own(data)
        height, width = seen.shape[:2]
        return file_of(
            name=f"{stem}-{output.size}{SUFFIXES[output.format]}",
            kind=kind,
            role="final",
            label=label or f"{width} × {height} {FORMAT_NAMES[output.format]}",
            content_type=f"image/{output.format}",
            data=data,
            meta={
                "width": width,
                "height": height,
                "lqip": lqip,
                "digital_source_type": source_type,
                **meta_of(seen),
            },
        )

    # On as many threads as libvips may use: most encoders and decoders use one.
    with ThreadPoolExecutor(pyvips.concurrency_get()) as pool:
        preview = pool.submit(thumbnail_of, THUMBNAIL, small)
        files = list(pool.map(final, outputs))
        return Rendered(files=[*files, preview.result()], facts=verdict_of(files[0].meta))
