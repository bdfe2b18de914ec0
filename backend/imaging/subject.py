"""Finds the product: a probability for each pixel, from u2netp or from the backdrop alone.

u2netp is the small U²-Net (Qin et al. 2020, Apache-2.0 weights, 4.6 MB): it sees 320 × 320 pixels,
so it knows *what* to cut out, even white on white, but not exactly *where* the edge runs. The
cut-out refines that. Without the weights, `from_backdrop` serves photos on a plain backdrop.
"""

import hashlib
from pathlib import Path

import numpy as np
import pyvips
from numpy.typing import NDArray

from backend.imaging.filters import Floats
from backend.imaging.inference import open_network

U2NETP_SHA256 = "309c8469258dda742793dce0ebea8e6dd393174f89934733ecc8b14c76f4ddd8"
NET_INPUT_SIDE = 320
# ImageNet statistics, as in U²-Net's own data_loader.py.
MEAN = np.array([0.485, 0.456, 0.406], dtype=np.float32)
DEVIATION = np.array([0.229, 0.224, 0.225], dtype=np.float32)


class SubjectNet:
    """A loaded u2netp; it takes up to a second and 80 MB to open, so keep it."""

    def __init__(self, weights: bytes, *, threads: int) -> None:
        self._infer = open_network(weights, threads=threads)

    def probability(self, rgb: NDArray[np.uint8]) -> Floats:
        """(320, 320) probability that a pixel belongs to the subject of an sRGB picture."""
        small = pyvips.Image.new_from_array(rgb).thumbnail_image(
            NET_INPUT_SIDE, height=NET_INPUT_SIDE, size="force"
        )
        pixels = small.numpy().astype(np.float32)
        pixels = (pixels / max(1.0, float(pixels.max())) - MEAN) / DEVIATION
        batch = np.ascontiguousarray(pixels.transpose(2, 0, 1)[None])
        return np.asarray(self._infer(batch)[0, 0], dtype=np.float32)


def load_net(path: Path | None, *, threads: int = 1) -> SubjectNet | None:
    """Open the weights, or None if they are absent or are not byte for byte the ones we know.

    A model file is a program for the native runtime: bytes that nobody vouches for stay unread.
    """
    if path is None or not path.is_file():
        return None
    weights = path.read_bytes()
    if hashlib.sha256(weights).hexdigest() != U2NETP_SHA256:
        return None
    return SubjectNet(weights, threads=threads)
