"""The colour space that a PNG declares without an ICC profile, as an ICC profile.

PNG has three more ways to say it (third edition, 4.3): `cICP` with code points, as Photoshop writes
Display P3; `sRGB`; and `gAMA` with `cHRM`. libvips knows only profiles, so one is made and put in.

The result is within one level of the exact one in colour. In grey, lcms interpolates between 33
points, which makes the darkest tones of a linear file up to ten levels wrong.
"""

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from backend.imaging.png_chunks import chunks_before_pixels, with_chunk

Matrix = NDArray[np.float64]

GREY, GREY_ALPHA = 0, 4  # colour types
# Red, green, blue and white, as x and y.
SRGB_PRIMARIES = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, 0.3127, 0.3290)
PRIMARIES = {  # ITU-T H.273, table 2
    1: SRGB_PRIMARIES,
    9: (0.708, 0.292, 0.170, 0.797, 0.131, 0.046, 0.3127, 0.3290),
    12: (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, 0.3127, 0.3290),
}
# ICC parametric curves: x ↦ x^g, or (a·x + b)^g from d on and c·x below. H.273, table 3.
SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
BT709_CURVE = (1 / 0.45, 1 / 1.099, 0.099 / 1.099, 1 / 4.5, 0.081)
CURVES = {1: BT709_CURVE, 4: (2.2,), 5: (2.8,), 6: BT709_CURVE, 8: (1.0,), 13: SRGB_CURVE,
          14: BT709_CURVE, 15: BT709_CURVE}  # fmt: skip
DISPLAY_CURVES = frozenset({4, 5, 8, 13})
HDR_TRANSFERS = frozenset({16, 18})  # PQ and HLG
SCALE = 100_000  # of `gAMA` and `cHRM`
# Whole numbers for 1 / 2.2 mean sRGB to every browser; libpng ignores the same five per cent.
NEARLY_SRGB = 0.05
MIN_GAMMA, MAX_GAMMA = 0.1, 2.0  # whatever lies outside is a broken chunk
BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)
D50 = np.array([0.9642, 1.0, 0.8249])

Curve = tuple[float, ...]
Primaries = tuple[float, ...]


class UnsupportedColours(Exception):
    """Colours that nobody can turn into sRGB without a choice of taste: HDR, or YCbCr."""


def with_profile(data: bytes) -> bytes:
    """The PNG, with a profile if its colours are not sRGB. Raises `UnsupportedColours`."""
    chunks = dict(reversed(list(chunks_before_pixels(data))))  # the first of each name
    declared = _declared(chunks)
    header = chunks.get(b"IHDR", b"")
    if declared is None or len(header) != 13:
        return data
    is_grey = header[9] in (GREY, GREY_ALPHA)
    profile = b"Declared\0\0" + zlib.compress(_profile(*declared, is_grey=is_grey))
    return with_chunk(data, b"iCCP", profile)


def profile_of_code_points(primaries: int, transfer: int) -> bytes | None:
    """An ICC profile for what AVIF and HEIC declare (ITU-T H.273); None means sRGB.

    As viewers do, unknown primaries are taken for sRGB's, and every video camera's curve for
    sRGB's curve. Raises `UnsupportedColours` for HDR.
    """
    if transfer in HDR_TRANSFERS:
        raise UnsupportedColours
    curve = CURVES[transfer] if transfer in DISPLAY_CURVES else SRGB_CURVE
    points = PRIMARIES.get(primaries, SRGB_PRIMARIES)
    if (points, curve) == (SRGB_PRIMARIES, SRGB_CURVE):
        return None
    return _profile(points, curve, is_grey=False)


def _declared(chunks: dict[bytes, bytes]) -> tuple[Primaries, Curve] | None:
    """Primaries and curve, by the chunks' order of precedence; None for sRGB and for a profile."""
    if len(code_points := chunks.get(b"cICP", b"")) == 4:
        return _by_code_points(code_points)
    if b"iCCP" in chunks or b"sRGB" in chunks:
        return None
    curve: Curve = SRGB_CURVE
    primaries: Primaries = SRGB_PRIMARIES
    gamma = int.from_bytes(chunks.get(b"gAMA", b"")) / SCALE
    if MIN_GAMMA < gamma < MAX_GAMMA and abs(2.2 * gamma - 1) > NEARLY_SRGB:
        curve = (1 / gamma,)
    if len(points := chunks.get(b"cHRM", b"")) == 32:
        white_x, white_y, *colours = (value / SCALE for value in struct.unpack(">8I", points))
        primaries = (*colours, white_x, white_y)
    same = np.allclose(primaries, SRGB_PRIMARIES, atol=0.002)
    if (curve, same) == (SRGB_CURVE, True) or not _are_real(primaries):
        return None
    return (SRGB_PRIMARIES if same else primaries), curve


def _by_code_points(code_points: bytes) -> tuple[Primaries, Curve] | None:
    primaries, transfer, matrix, full_range = code_points
    if primaries not in PRIMARIES or transfer not in CURVES or matrix != 0 or full_range != 1:
        raise UnsupportedColours
    if (primaries, transfer) == (1, 13):
        return None
    return PRIMARIES[primaries], CURVES[transfer]


def _are_real(primaries: Primaries) -> bool:
    """Whether they span a triangle with a white in it; a broken `cHRM` is taken for sRGB."""
    if min(primaries[1::2]) <= 0:
        return False
    columns = _xyz(primaries[:6])
    if abs(float(np.linalg.det(columns))) < 1e-6:
        return False
    return bool((np.linalg.solve(columns, _xyz(primaries[6:])[:, 0]) > 0).all())


def _xyz(points: Primaries) -> Matrix:
    """A column of X, Y = 1 and Z for each x and y."""
    x, y = np.array(points[0::2]), np.array(points[1::2])
    return np.stack([x / y, np.ones_like(x), (1 - x - y) / y])


def _profile(primaries: Primaries, curve: Curve, *, is_grey: bool) -> bytes:
    """An ICC profile, version 4 (ICC.1:2010): three primaries and a curve, or a curve alone."""
    tone = b"para\0\0\0\0" + struct.pack(">HH", 0 if len(curve) == 1 else 3, 0)
    tone += b"".join(_fixed(value) for value in curve)
    text = "Declared by PNG".encode("utf-16-be")
    words = b"mluc\0\0\0\0" + struct.pack(">II2s2sII", 1, 12, b"en", b"US", len(text), 28) + text
    tags = {b"desc": words, b"cprt": words, b"wtpt": _xyz_tag(D50)}
    if is_grey:
        tags[b"kTRC"] = tone
    else:
        for name, column in zip(b"rgb", _adapted(primaries).T, strict=True):
            tags[bytes([name]) + b"XYZ"] = _xyz_tag(column)
            tags[bytes([name]) + b"TRC"] = tone
    return _assembled(tags, b"GRAY" if is_grey else b"RGB ")


def _adapted(primaries: Primaries) -> Matrix:
    """Their XYZ as columns, with D50 for white by Bradford's method."""
    white = _xyz(primaries[6:])[:, 0]
    columns = _xyz(primaries[:6])
    columns = columns * np.linalg.solve(columns, white)
    cones = np.diag((BRADFORD @ D50) / (BRADFORD @ white))
    return np.asarray(np.linalg.inv(BRADFORD) @ cones @ BRADFORD @ columns)


def _assembled(tags: dict[bytes, bytes], space: bytes) -> bytes:
    at, table, contents = 128 + 4 + 12 * len(tags), b"", b""
    for name, content in tags.items():
        table += name + struct.pack(">II", at + len(contents), len(content))
        contents += content + b"\0" * (-len(content) % 4)
    size = at + len(contents)
    header = struct.pack(">I4s4s4s4s4s", size, b"", b"\x04\x20\0\0", b"mntr", space, b"XYZ ")
    header += struct.pack(">6H4s", 2026, 1, 1, 0, 0, 0, b"acsp")
    header = header.ljust(68, b"\0") + b"".join(_fixed(value) for value in D50)
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + contents


def _xyz_tag(values: Matrix) -> bytes:
    return b"XYZ \0\0\0\0" + b"".join(_fixed(value) for value in values)


def _fixed(value: float) -> bytes:
    """s15Fixed16Number."""
    return struct.pack(">i", round(value * 65536))
