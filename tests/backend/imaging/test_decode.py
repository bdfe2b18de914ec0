"""What is let in, and what is refused with which words."""

import numpy as np
import pytest
import pyvips

from backend.imaging import decode as decoding
from backend.imaging.decode import decode, decode_covering, probe
from backend.imaging.encode import encode_final, encode_png
from backend.imaging.formats import ImageRefused
from tests.backend.imaging import files

SVG = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="800" height="800"/>'


def refused(data: bytes) -> str:
    with pytest.raises(ImageRefused) as caught:
        decode(data)
    return caught.value.code


@pytest.mark.parametrize(
    "data",
    [
        SVG,
        b"<!doctype html><html><script>alert(1)</script></html>",
        b"%PDF-1.7\n" + bytes(100),
        b"%!PS-Adobe-3.0 EPSF-3.0\n",
        b"BM" + bytes(100),
        b"RIFF\x00\x00\x00\x00WAVE" + bytes(100),
        b"\x00\x00\x00\x20ftypmp42" + bytes(100),
        b"\x00\x00\x00\x08ftyp",
        b"GIF88a" + bytes(100),
        b"II*",
        b" \xff\xd8\xff",
        b"PK\x03\x04" + bytes(100),
        b"",
    ],
)
def test_other_files_are_refused_by_their_first_bytes(data):
    assert refused(data) == "IMAGE_TYPE_UNSUPPORTED"


def test_libvips_refuses_other_loaders_when_called_directly(tmp_path):
    table = tmp_path / "table.csv"
    table.write_text("1,2")
    for loader, arguments in (
        ("svgload_buffer", [SVG]),
        ("csvload", [str(table)]),
        ("rawload", [str(table), 1, 1, 3]),
    ):
        with pytest.raises(pyvips.Error, match="blocked"):
            getattr(pyvips.Image, loader)(*arguments).avg()


def test_a_bad_background_image_is_refused():
    with pytest.raises(ImageRefused) as caught:
        decode_covering(files.zip_tailed_png()[:2000], width=600, height=600)
    assert caught.value.code == "IMAGE_CORRUPT"


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_each_allowed_format_is_read(suffix):
    data = files.photo().write_to_buffer(suffix)
    found = probe(data)
    assert (found.width, found.height, found.bytes) == (800, 600, len(data))
    assert decode(data).rgb.shape == (600, 800, 3)


def test_a_decompression_bomb_is_refused_from_its_header():
    bomb = files.bomb_png()
    assert len(bomb) < 150_000
    with pytest.raises(
        ImageRefused, match=r"30,000 × 30,000 pixels.*12,000.*64 megapixels"
    ) as caught:
        probe(bomb)
    assert caught.value.code == "IMAGE_TOO_LARGE"


def test_more_than_64_megapixels_are_refused():
    assert refused(files.bomb_png(11_000)) == "IMAGE_TOO_LARGE"


def test_a_file_one_byte_over_the_limit_is_refused_unopened():
    data = files.jpeg(files.photo())
    assert refused(data + bytes(decoding.MAX_BYTES + 1 - len(data))) == "IMAGE_TOO_LARGE"


def test_an_image_that_is_too_small_is_refused_with_the_limit():
    with pytest.raises(ImageRefused, match=r"40 × 40 pixels.*512") as caught:
        probe(files.jpeg(files.photo(40, 40)))
    assert caught.value.code == "IMAGE_TOO_SMALL"


def test_the_shorter_side_decides_what_is_too_small():
    assert refused(files.jpeg(files.photo(2000, 511))) == "IMAGE_TOO_SMALL"
    assert decode(files.jpeg(files.photo(2000, 512))).rgb.shape[0] == 512


@pytest.mark.parametrize("make", [files.animated_png, files.animated_webp])
def test_animations_are_refused(make):
    assert refused(make()) == "IMAGE_ANIMATED"


def test_an_animated_png_with_one_frame_is_a_still():
    still = decode(files.png(files.photo())).rgb
    assert (decode(files.animated_png(frames=1)).rgb == still).all()


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
@pytest.mark.parametrize("kept", [0.9, 0.5])
def test_a_truncated_file_is_refused_as_corrupt(suffix, kept):
    data = files.photo().write_to_buffer(suffix)
    assert refused(data[: int(len(data) * kept)]) == "IMAGE_CORRUPT"


@pytest.mark.parametrize(
    "magic", [b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\x00\x00\x00\x00WEBP"]
)
def test_garbage_after_valid_first_bytes_is_refused_as_corrupt(magic):
    assert refused(magic + b"\x00garbage" * 50) == "IMAGE_CORRUPT"


def test_the_exif_orientation_is_applied_to_pixels_and_dimensions():
    data = files.located_jpeg()
    found, picture = probe(data), decode(data)
    assert (found.width, found.height) == (600, 800)
    assert picture.rgb.shape == (800, 600, 3)
    # The disc was at the left; after a quarter turn clockwise it is at the top.
    assert picture.rgb[200, 300, 0] - int(picture.rgb[200, 300, 2]) > 100
    assert picture.rgb[600, 300].min() > 220


def test_no_metadata_survives_into_any_output():
    rgb = decode(files.located_jpeg()).rgb
    square = np.ascontiguousarray(rgb[:600, :600])
    outputs = [
        encode_png(rgb),
        encode_final(square, size=600, format_="jpeg"),
        encode_final(square, size=600, format_="webp"),
    ]
    for data in outputs:
        assert b"Exif" not in data and b"EXIF" not in data and b"canary" not in data
        image = pyvips.Image.new_from_buffer(data, "")
        assert not [name for name in image.get_fields() if name.startswith(("exif", "icc", "xmp"))]


def test_a_zip_archive_behind_a_png_is_dropped():
    polyglot = files.zip_tailed_png()
    assert b"canary.html" in polyglot
    output = encode_png(decode(polyglot).rgb)
    assert b"canary.html" not in output and output.endswith(b"IEND\xaeB`\x82")


def test_a_large_photo_is_shrunk_to_the_working_size():
    large = pyvips.Image.black(4000, 3000, bands=3).copy(interpretation="srgb")
    assert decode(files.jpeg(large)).rgb.shape == (1536, 2048, 3)


def test_grey_16_bit_and_cmyk_images_become_8_bit_srgb():
    grey = files.png(files.photo().colourspace("b-w"))
    deep = files.png(files.photo().colourspace("rgb16"))
    cmyk = files.jpeg(files.photo().icc_transform("cmyk", input_profile="srgb"))
    for data in (grey, deep, cmyk):
        rgb = decode(data).rgb
        assert rgb.shape == (600, 800, 3) and rgb.dtype == np.uint8
        assert abs(int(rgb[10, 790].mean()) - 235) < 10  # CMYK costs a few levels


def test_a_wide_gamut_profile_is_converted():
    p3_like = files.jpeg(files.photo().icc_transform("p3", input_profile="srgb"), profile="p3")
    plain = decode(files.jpeg(files.photo())).rgb[300, 200].astype(int)
    converted = decode(p3_like).rgb[300, 200].astype(int)
    raw = pyvips.Image.jpegload_buffer(p3_like).numpy()[300, 200].astype(int)
    assert np.abs(converted - plain).max() <= 4 < np.abs(raw - plain).max()


def test_alpha_is_kept_separately_and_an_opaque_one_dropped():
    image = files.photo()
    half = files.png(image.bandjoin((image[1] < 100).ifthenelse(255, 0)))
    alpha = decode(half).alpha
    assert alpha is not None and alpha[300, 200] == 1 and alpha[10, 10] == 0
    assert decode(files.png(image.bandjoin(255))).alpha is None
