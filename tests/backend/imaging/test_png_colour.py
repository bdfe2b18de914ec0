"""PNGs that say without a profile which colours their numbers mean."""

import struct
import zlib

import numpy as np
import pytest
from numpy.typing import NDArray

from backend.imaging.decode import decode
from backend.imaging.encode import decode_own
from backend.imaging.formats import ImageRefused
from backend.imaging.normalise import normalise
from tests.backend.imaging import files
from tests.backend.imaging.products import Floats, encoded, linear

SIDE = 520
# From linear sRGB to linear Display P3.
TO_P3 = np.array(
    [
        [0.8224619687, 0.1775380313, 0],
        [0.0331941989, 0.9668058011, 0],
        [0.0170826307, 0.0723974407, 0.9105199286],
    ]
)
SRGB_POINTS = struct.pack(">8I", 31_270, 32_900, 64_000, 33_000, 30_000, 60_000, 15_000, 6_000)


@pytest.fixture(scope="module")
def pixels() -> NDArray[np.uint8]:
    """Every colour there is, more or less."""
    return np.random.default_rng(7).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)


def chunk(name: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)


def gamma(value: float) -> bytes:
    return chunk(b"gAMA", struct.pack(">I", round(value * 100_000)))


def png(pixels: NDArray[np.uint8], *chunks: bytes) -> bytes:
    """A PNG with these chunks after its header."""
    data = files.png(files.srgb(pixels))
    return data[:33] + b"".join(chunks) + data[33:]


def levels(light: Floats) -> NDArray[np.uint8]:
    return (255 * encoded(np.clip(light, 0, 1)) + 0.5).astype(np.uint8)


def worst(data: bytes, wanted: NDArray[np.uint8]) -> int:
    """The largest difference of a decoded file, in levels."""
    return int(np.abs(decode(data).rgb.astype(int) - wanted).max())


def test_a_linear_png_is_as_bright_as_its_reference(pixels):
    assert worst(png(pixels, gamma(1)), levels(pixels / 255)) <= 1


def test_a_display_p3_png_by_code_points_is_converted(pixels):
    sent = levels(linear(pixels) @ TO_P3.T)
    wanted = levels(linear(sent) @ np.linalg.inv(TO_P3).T)
    assert worst(png(sent, chunk(b"cICP", bytes([12, 13, 0, 1]))), wanted) <= 1
    assert worst(png(sent), wanted) > 20


def test_primaries_without_a_gamma_are_converted(pixels):
    sent = levels(linear(pixels) @ TO_P3.T)
    points = struct.pack(">8I", 31_270, 32_900, 68_000, 32_000, 26_500, 69_000, 15_000, 6_000)
    wanted = levels(linear(sent) @ np.linalg.inv(TO_P3).T)
    assert worst(png(sent, chunk(b"cHRM", points)), wanted) <= 1


@pytest.mark.parametrize(
    "chunks",
    [
        [gamma(0.45455), chunk(b"cHRM", SRGB_POINTS)],
        [chunk(b"cICP", bytes([1, 13, 0, 1])), gamma(1)],
        [chunk(b"sRGB", b"\0"), gamma(1)],
    ],
    ids=["gamma-and-primaries", "code-points-win", "srgb-chunk-wins"],
)
def test_what_means_srgb_leaves_every_pixel_alone(pixels, chunks):
    assert worst(png(pixels, *chunks), pixels) == 0


def test_a_profile_wins_over_gamma(pixels):
    image = files.srgb(pixels)
    profiled = image.icc_transform("p3", input_profile="srgb").write_to_buffer(".png", profile="p3")
    with_gamma = profiled[:33] + gamma(1) + profiled[33:]
    assert (decode(with_gamma).rgb == decode(profiled).rgb).all()


@pytest.mark.parametrize(
    "broken",
    [
        chunk(b"cHRM", bytes(32)),
        chunk(b"cHRM", b"\xff" * 32),
        chunk(b"cHRM", bytes(5)),
        chunk(b"gAMA", b"\xff\xff\xff\xff"),
        chunk(b"gAMA", b"\0\0\0\1"),
        chunk(b"gAMA", b""),
        chunk(b"cICP", b"\1"),
    ],
)
def test_a_broken_chunk_is_ignored(pixels, broken):
    assert worst(png(pixels, broken), pixels) == 0


@pytest.mark.parametrize("points", [(9, 16, 0, 1), (9, 18, 0, 1), (1, 13, 1, 1), (1, 13, 0, 0)])
def test_hdr_and_video_colours_are_refused_with_a_way_out(pixels, points):
    with pytest.raises(ImageRefused, match="Export it as sRGB or Display P3") as caught:
        decode(png(pixels, chunk(b"cICP", bytes(points))))
    assert caught.value.code == "IMAGE_TYPE_UNSUPPORTED"


def test_a_normalised_upload_keeps_the_look_and_loses_the_chunk(pixels):
    flat = np.full_like(pixels, 128)
    made = normalise(png(flat, gamma(1)))
    assert b"gAMA" not in made.data
    assert np.abs(decode_own(made.data).astype(int) - int(levels(flat / 255)[0, 0, 0])).max() <= 1
