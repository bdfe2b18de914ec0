"""GIF, TIFF, AVIF and HEIC: what is read, in which colours, and what is refused and why."""

import io
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import pyvips
from PIL import Image

from backend.imaging import heic
from backend.imaging.decode import decode, probe
from backend.imaging.formats import ImageRefused, format_of
from backend.imaging.normalise import normalise
from tests.backend.imaging import files
from tests.backend.imaging.heif_files import (
    HEIGHT,
    WIDTH,
    Coded,
    code_points,
    coded,
    heif,
    icc_profile,
    mirrored,
    sample,
    turned,
)

RED = [200, 30, 30]  # of the disc in `files.photo`


def refusal_of(data: bytes) -> tuple[str, str]:
    with pytest.raises(ImageRefused) as caught:
        decode(data)
    return caught.value.code, caught.value.failure.message


def disc(data: bytes) -> Any:
    """The colour of the disc, as whole numbers that may be subtracted."""
    return decode(data).rgb[300, 200].astype(int)


def pillow(
    kind: str, mode: str = "RGB", palette: Image.Palette = Image.Palette.WEB, **options: object
) -> bytes:
    """`files.photo` as Pillow writes it."""
    file = io.BytesIO()
    Image.fromarray(files.photo().numpy()).convert(mode, palette=palette).save(
        file, kind, **options
    )
    return file.getvalue()


def saved(suffix: str, image: pyvips.Image | None = None, **options: object) -> bytes:
    data: bytes = (files.photo() if image is None else image).write_to_buffer(suffix, **options)
    return data


@pytest.fixture(scope="module")
def hevc() -> Coded:
    return coded(sample("opaque"))


@pytest.fixture(scope="module")
def av1() -> Coded:
    quarters = decode(sample("opaque")).rgb
    return coded(saved(".avif", files.srgb(quarters), Q=60, effort=0))


# Each format


READ: dict[str, Callable[[], bytes]] = {
    "gif": lambda: saved(".gif"),
    "avif": lambda: saved(".avif", effort=0),
    "avif of 10 bits": lambda: saved(".avif", files.photo().colourspace("rgb16"), bitdepth=10),
    "tiff": lambda: saved(".tif"),
    "tiff, LZW": lambda: saved(".tif", compression="lzw", predictor="horizontal"),
    "tiff, deflate": lambda: saved(".tif", compression="deflate"),
    "tiff, JPEG in tiles": lambda: saved(".tif", compression="jpeg", tile=True),
    "tiff, JPEG by Pillow": lambda: pillow("TIFF", "YCbCr", compression="jpeg"),
    "tiff of 16 bits": lambda: saved(".tif", files.photo().colourspace("rgb16")),
    "tiff, big-endian Lab": lambda: saved(".tif", files.photo().colourspace("labs")),
    "tiff with a palette": lambda: pillow("TIFF", "P", palette=Image.Palette.ADAPTIVE),
    "tiff, BigTIFF": lambda: saved(".tif", bigtiff=True),
    "tiff with smaller versions": lambda: saved(".tif", tile=True, pyramid=True, subifd=True),
    "tiff with smaller pages": lambda: saved(".tif", tile=True, pyramid=True),
}


@pytest.mark.parametrize("what", READ)
def test_it_is_read_in_its_colours(what: str) -> None:
    data = READ[what]()
    found = probe(data)
    assert found.format == what.partition(" ")[0].strip(",")
    assert (found.width, found.height) == (800, 600)
    assert np.abs(disc(data) - RED).max() <= 6
    assert decode(data).alpha is None


def test_a_cmyk_tiff_is_converted_by_its_profile() -> None:
    inks = files.photo().icc_transform("cmyk", input_profile="srgb")
    for data in (saved(".tif", inks), saved(".tif", inks, keep="none")):
        assert np.abs(disc(data) - RED).max() <= 25  # outside what inks can print
        assert np.abs(decode(data).rgb[10, 790].astype(int) - 235).max() <= 10


def test_transparency_is_kept() -> None:
    image = files.photo()
    hole = image.bandjoin((image[1] < 100).ifthenelse(255, 0).cast("uchar"))
    for data in (saved(".gif", hole), saved(".avif", hole, effort=0), saved(".tif", hole)):
        alpha = decode(data).alpha
        assert alpha is not None and alpha[300, 200] == 1 and alpha[10, 10] == 0
    alpha = decode(sample("alpha")).alpha
    assert alpha is not None and alpha[50, 50] == 1 and alpha[50, WIDTH - 50] == 0


def test_a_channel_that_is_no_transparency_is_left_out() -> None:
    image = files.photo()
    data = saved(".tif", image.bandjoin([0, 77]).copy(interpretation="srgb"))
    assert decode(data).rgb.shape == (600, 800, 3)
    rgbx = saved(".tif", image.bandjoin(0))
    unspecified = with_tag(rgbx, 338, 0)
    assert decode(unspecified).alpha is None and np.abs(disc(unspecified) - RED).max() <= 1


def test_a_premultiplied_tiff_has_its_own_colours() -> None:
    image = files.photo().bandjoin(128)
    premultiplied = image.premultiply().cast("uchar").copy(interpretation="srgb")
    assert np.abs(disc(with_tag(saved(".tif", premultiplied), 338, 1)) - RED).max() <= 2


def with_tag(tiff: bytes, tag: int, value: int) -> bytes:
    """The little-endian TIFF with another number in a tag of its first page."""
    (at,) = struct.unpack_from("<I", tiff, 4)
    (count,) = struct.unpack_from("<H", tiff, at)
    for entry in range(at + 2, at + 2 + 12 * count, 12):
        if struct.unpack_from("<H", tiff, entry)[0] == tag:
            return tiff[: entry + 8] + struct.pack("<H", value) + tiff[entry + 10 :]
    raise KeyError(tag)


@pytest.mark.parametrize("orientation", [3, 6])
def test_a_tiff_is_turned_upright(orientation: int) -> None:
    image = files.photo().copy()
    image.set_type(pyvips.GValue.gint_type, "orientation", orientation)
    found, rgb = probe(saved(".tif", image)), decode(saved(".tif", image)).rgb
    assert rgb.shape[:2] == (found.height, found.width)
    assert (rgb == np.rot90(files.photo().numpy(), {3: 2, 6: 3}[orientation])).all()


# AVIF and HEIC


@pytest.mark.parametrize("name", ["opaque", "ten_bit"])
def test_an_iphone_photo_is_read(name: str) -> None:
    found, rgb = probe(sample(name)), decode(sample(name)).rgb.astype(int)
    assert (found.format, found.width, found.height) == ("heic", WIDTH, HEIGHT)
    corners = rgb[[50, 50, -50, -50], [50, -50, 50, -50]]
    assert np.abs(corners - [[230, 20, 20], [20, 200, 20], [20, 20, 230], [240] * 3]).max() <= 2


@pytest.mark.parametrize("kind", ["hevc", "av1"])
@pytest.mark.parametrize("quarters", range(4))
def test_a_container_turns_a_photo_once_whatever_its_exif_says(
    request: pytest.FixtureRequest, kind: str, quarters: int
) -> None:
    picture: Coded = request.getfixturevalue(kind)
    flat = decode(heif(picture)).rgb
    for orientation in (None, 6):
        data = heif(picture, turned(quarters), orientation=orientation)
        found = probe(data)
        assert (found.width, found.height) == ((HEIGHT, WIDTH) if quarters % 2 else (WIDTH, HEIGHT))
        assert (decode(data).rgb == np.rot90(flat, quarters)).all()
    assert (normalise(data).width, normalise(data).height) == (found.width, found.height)


def test_a_container_mirrors_a_photo(hevc: Coded, av1: Coded) -> None:
    for picture in (hevc, av1):
        flat = decode(heif(picture)).rgb
        assert (decode(heif(picture, mirrored(0))).rgb == flat[::-1]).all()
        assert (decode(heif(picture, mirrored(1))).rgb == flat[:, ::-1]).all()


def test_an_iphone_photo_in_tiles_is_one_picture(hevc: Coded) -> None:
    data = heif(hevc, turned(3), grid=(2, 3))
    found = probe(data)
    assert (found.width, found.height) == (3 * HEIGHT, 2 * WIDTH)
    flat = decode(heif(hevc)).rgb
    assert (decode(data).rgb == np.rot90(np.tile(flat, (3, 2, 1)), 3)).all()


def test_wide_gamut_colours_are_converted(hevc: Coded, av1: Coded) -> None:
    """The same numbers as Display P3, by code points and by profile, are a stronger red."""
    p3 = pyvips.Image.profile_load("p3")
    for picture in (hevc, av1):
        plain = decode(heif(picture)).rgb[50, 50].astype(int)
        declared = decode(heif(picture, code_points(12, 13))).rgb[50, 50].astype(int)
        profiled = decode(heif(picture, icc_profile(p3))).rgb[50, 50].astype(int)
        assert np.abs(declared - profiled).max() <= 2
        assert declared[0] - plain[0] > 15
        both = heif(picture, code_points(1, 13), icc_profile(p3))
        assert (decode(both).rgb[50, 50] == profiled).all(), "a profile has precedence"
        for srgb in ((1, 13), (1, 1), (2, 2), (6, 6)):
            assert (decode(heif(picture, code_points(*srgb))).rgb[50, 50] == plain).all()


@pytest.mark.parametrize("transfer", [16, 18])
def test_hdr_colours_are_refused(hevc: Coded, av1: Coded, transfer: int) -> None:
    for picture in (hevc, av1):
        code, message = refusal_of(heif(picture, code_points(9, transfer)))
        assert code == "IMAGE_TYPE_UNSUPPORTED" and "HDR" in message


def test_without_its_decoder_a_heic_is_refused_by_its_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(heic, "find_spec", lambda _: None)
    code, message = refusal_of(sample("opaque"))
    assert code == "IMAGE_TYPE_UNSUPPORTED"
    assert "iPhone photo (HEIC)" in message and "JPEG" in message and "Most Compatible" in message


# What is refused


def two_pages() -> bytes:
    other = Image.new("RGB", (800, 600), "green")
    return pillow("TIFF", save_all=True, append_images=[other])


def moving_gif() -> bytes:
    other = Image.new("RGB", (800, 600), "green")
    return pillow("GIF", save_all=True, append_images=[other])


def raw_file() -> bytes:
    """A TIFF of a camera's colour filters."""
    return with_tag(saved(".tif", files.photo()[0]), 262, 32803)


NOT_ACCEPTED: dict[str, tuple[Callable[[], bytes], str, str]] = {
    "moving GIF": (moving_gif, "IMAGE_ANIMATED", "animated"),
    "two pages": (two_pages, "IMAGE_ANIMATED", "several pages"),
    "AVIF sequence": (lambda: b"\0\0\0\x18ftypavis" + bytes(40), "IMAGE_ANIMATED", "animated"),
    "HEIC sequence": (lambda: b"\0\0\0\x18ftyphevc" + bytes(40), "IMAGE_ANIMATED", "animated"),
    "raw file": (raw_file, "IMAGE_TYPE_UNSUPPORTED", "a camera's raw file"),
    "YCbCr": (lambda: pillow("TIFF", "YCbCr"), "IMAGE_TYPE_UNSUPPORTED", "YCbCr"),
    "float TIFF": (
        lambda: saved(".tif", (files.photo()[0] / 255).cast("float")),
        "IMAGE_TYPE_UNSUPPORTED",
        "other data than a photo's",
    ),
    "32-bit TIFF": (
        lambda: saved(".tif", files.photo().cast("uint")),
        "IMAGE_TYPE_UNSUPPORTED",
        "other data than a photo's",
    ),
    "PDF": (lambda: b"%PDF-1.7\n", "IMAGE_TYPE_UNSUPPORTED", "PDF"),
    "PSD": (lambda: b"8BPS\0\x01", "IMAGE_TYPE_UNSUPPORTED", "Photoshop"),
    "small GIF": (lambda: saved(".gif", files.photo(300, 300)), "IMAGE_TOO_SMALL", "300 × 300"),
}


@pytest.mark.parametrize("what", NOT_ACCEPTED)
def test_it_is_refused_with_its_reason(what: str) -> None:
    make, code, word = NOT_ACCEPTED[what]
    found, message = refusal_of(make())
    assert found == code and word in message


def claiming(side: int) -> dict[str, bytes]:
    """Small files whose headers say that they are so large."""
    gif = bytearray(saved(".gif"))
    gif[6:10] = struct.pack("<HH", side, side)
    frame = gif.index(b"\x2c", 13 + 3 * 2 ** ((gif[10] & 7) + 1) if gif[10] & 0x80 else 13)
    gif[frame + 5 : frame + 9] = struct.pack("<HH", side, side)
    tiff = with_tag(with_tag(saved(".tif", compression="lzw"), 256, side), 257, side)
    hevc = coded(sample("opaque"))
    av1 = coded(saved(".avif", effort=0))
    return {
        "gif": bytes(gif),
        "tiff": tiff,
        "heic": heif(hevc, size=(side, side)),
        "avif": heif(av1, size=(side, side)),
        "heic, tiles": heif(hevc, grid=(2, 2), output=(side, side)),
        "heic, many tiles": heif(hevc, grid=(64, 64), output=(side, side)),
    }


@pytest.mark.parametrize("side", [12_001, 60_000])
def test_a_bomb_is_refused_without_being_unpacked(side: int) -> None:
    for what, data in claiming(side).items():
        assert len(data) < 1_200_000
        code, _ = refusal_of(data)
        assert code in ("IMAGE_TOO_LARGE", "IMAGE_CORRUPT"), what


def test_a_grid_with_more_pixels_than_it_shows_is_refused_unopened(hevc: Coded, av1: Coded) -> None:
    for picture in (hevc, av1):
        for data in (
            heif(picture, size=(8000, 8000), grid=(3, 1), output=(600, 600)),
            heif(picture, size=(1, 1), grid=(40, 30), output=(600, 600)),
        ):
            with pytest.raises(ImageRefused) as caught:
                probe(data)
            assert caught.value.code == "IMAGE_TOO_LARGE"


def test_a_header_that_lies_about_the_coded_size_shows_no_other_picture(hevc: Coded) -> None:
    """libheif decodes by the bitstream's own size, which the limits have not seen."""
    for size in ((600, 600), (5000, 5000)):
        assert refusal_of(heif(hevc, size=size))[0] == "IMAGE_CORRUPT"


@pytest.mark.parametrize("kept", [0.95, 0.5, 0.2, 0.02])
def test_a_truncated_file_is_refused_as_corrupt(kept: float) -> None:
    whole = (
        saved(".gif"),
        saved(".tif", compression="lzw"),
        pillow("TIFF"),
        saved(".avif", effort=0),
        sample("opaque"),
    )
    for data in whole:
        assert refusal_of(data[: int(len(data) * kept)])[0] == "IMAGE_CORRUPT"


def test_a_tiff_whose_pages_are_a_ring_is_refused() -> None:
    data = saved(".tif")
    (at,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, at)
    following = at + 2 + 12 * count
    ring = data[:following] + struct.pack("<I", at) + data[following + 4 :]
    assert refusal_of(ring)[0] in ("IMAGE_ANIMATED", "IMAGE_CORRUPT")


def test_a_format_is_known_by_content_alone() -> None:
    assert format_of(sample("opaque")) == "heic"
    assert format_of(b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf") == "avif"
    assert format_of(b"\0\0\0\x1cftypmif1\0\0\0\0mif1heicmiaf") == "heic"


def test_nothing_of_the_file_but_its_pixels_is_stored() -> None:
    tiff = pillow("TIFF", tiffinfo={315: "canary-artist", 270: "canary-place"})
    assert b"canary" in tiff and b"canary" not in normalise(tiff).data
    gif = pillow("GIF", comment=b"canary-comment")
    assert b"canary" in gif and b"canary" not in normalise(gif).data
