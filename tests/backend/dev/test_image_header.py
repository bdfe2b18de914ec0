"""The stand-in's own reading of picture headers, against pictures made by the product's library."""

import pytest
import pyvips

from backend.dev.shopify import image_header

PICTURE = pyvips.Image.black(37, 23, bands=3)


@pytest.mark.parametrize(
    ("suffix", "kind"),
    [
        (".jpg", "image/jpeg"),
        (".jpg[interlace]", "image/jpeg"),
        (".jpg[optimize-coding,strip]", "image/jpeg"),
        (".png", "image/png"),
        (".gif", "image/gif"),
        (".webp", "image/webp"),
        (".webp[lossless]", "image/webp"),
    ],
)
def test_the_header_of_a_real_image_gives_its_type_and_size(suffix, kind):
    content = PICTURE.write_to_buffer(suffix)
    assert image_header.content_type(content) == kind
    assert image_header.size(content) == (37, 23)


def test_a_transparent_webp_gives_its_size():
    content = PICTURE.addalpha().write_to_buffer(".webp")
    assert content[12:16] == b"VP8X"
    assert image_header.size(content) == (37, 23)


def test_metadata_before_the_frame_is_skipped():
    picture = PICTURE.copy()
    picture.set_type(pyvips.GValue.blob_type, "exif-data", b"Exif\0\0" + b"\xff\xc0" * 500)
    assert image_header.size(picture.write_to_buffer(".jpg")) == (37, 23)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".gif", ".webp"])
def test_a_truncated_header_gives_no_size_without_an_exception(suffix):
    content = PICTURE.write_to_buffer(suffix)
    sizes = [image_header.size(content[:length]) for length in range(len(content))]
    assert sizes[0] is None and sizes[8] is None
    assert {size for size in sizes if size is not None} <= {(37, 23)}


@pytest.mark.parametrize(
    "content", [b"", b"BM", b"<svg/>", b"%PDF-1.7", b"\0\0\0\x20ftypavif", b"RIFF\0\0\0\0WAVE"]
)
def test_an_unsupported_file_has_no_type(content):
    assert image_header.content_type(content) is None
    assert image_header.size(content) is None
