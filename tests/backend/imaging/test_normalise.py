"""What is left of an upload: its pixels, upright and in sRGB, and nothing else."""

import subprocess
import sys

import numpy as np
import pytest
import pyvips

from backend.imaging import normalise as normalising
from backend.imaging.decode import MAX_BYTES, probe
from backend.imaging.encode import decode_own
from backend.imaging.formats import ImageRefused
from backend.imaging.normalise import normalise
from tests.backend.imaging import files
from tests.backend.imaging.conftest import ROOT


def pixels_of(data: bytes):
    return decode_own(normalise(data).data)


def corners_photo() -> pyvips.Image:
    """Red, green, blue and white quarters, so that each of the eight orientations differs."""
    quarters = np.array([[[250, 0, 0], [0, 250, 0]], [[0, 0, 250], [250, 250, 250]]])
    return files.srgb(np.kron(quarters, np.ones((280, 320, 1))).astype(np.uint8))


# How a viewer turns the stored pixels upright, from the EXIF standard's table.
UPRIGHT = {
    1: lambda image: image,
    2: lambda image: image.fliphor(),
    3: lambda image: image.rot180(),
    4: lambda image: image.flipver(),
    5: lambda image: image.rot90().fliphor(),
    6: lambda image: image.rot90(),
    7: lambda image: image.rot270().fliphor(),
    8: lambda image: image.rot270(),
}


@pytest.mark.parametrize("orientation", range(1, 9))
def test_each_exif_orientation_is_applied_and_removed(orientation):
    photo = corners_photo().copy()
    photo.set_type(pyvips.GValue.gint_type, "orientation", orientation)
    made = normalise(files.jpeg(photo))
    wanted = UPRIGHT[orientation](corners_photo()).numpy().astype(int)
    assert (made.height, made.width) == wanted.shape[:2]
    assert np.abs(decode_own(made.data).astype(int) - wanted).mean() < 2
    assert not pyvips.Image.new_from_buffer(made.data, "").get_typeof("orientation")


def test_camera_metadata_is_removed():
    sent = files.located_jpeg()
    assert b"canary" in sent
    made = normalise(sent)
    assert (made.width, made.height) == (600, 800)
    image = pyvips.Image.new_from_buffer(made.data, "")
    assert b"Exif" not in made.data and b"canary" not in made.data
    assert not [name for name in image.get_fields() if name.startswith(("exif", "icc", "xmp"))]


def test_a_wide_gamut_photo_keeps_its_look_without_its_profile():
    p3 = files.jpeg(files.photo().icc_transform("p3", input_profile="srgb"), profile="p3")
    assert b"ICC_PROFILE" in p3 and b"ICC_PROFILE" not in normalise(p3).data
    assert np.abs(pixels_of(p3)[300, 200].astype(int) - [200, 30, 30]).max() <= 4


@pytest.mark.parametrize("make", [files.zip_tailed_png, files.zip_tailed_jpeg])
def test_an_archive_behind_the_last_pixel_is_dropped(make):
    sent = make()
    assert b"canary.html" in sent
    made = normalise(sent)
    assert b"canary" not in made.data and b"PK\x03\x04" not in made.data
    assert made.data.endswith(b"\xff\xd9")


def test_grey_16_bit_and_cmyk_images_become_a_colour_jpeg():
    grey = files.png(files.photo().colourspace("b-w"))
    deep = files.png(files.photo().colourspace("rgb16"))
    cmyk = files.jpeg(files.photo().icc_transform("cmyk", input_profile="srgb"))
    for sent, tolerance in ((grey, 3), (deep, 3), (cmyk, 10)):
        made = normalise(sent)
        found = decode_own(made.data)
        assert made.content_type == "image/jpeg"
        assert found.shape == (600, 800, 3)
        assert np.abs(found[10, 790].astype(int) - 235).max() <= tolerance


@pytest.mark.parametrize("depth", ["srgb", "rgb16"])
def test_transparency_is_kept_exactly_as_png(depth):
    ramp = pyvips.Image.identity().embed(0, 0, 800, 600, extend="copy")
    rgba = files.photo().bandjoin(ramp)
    sent = rgba if depth == "srgb" else rgba.colourspace("rgb16")
    made = normalise(files.png(sent))
    assert made.content_type == "image/png" and made.data.startswith(b"\x89PNG")
    found = decode_own(made.data)
    assert (found[..., 3] == ramp.numpy()).all()
    assert np.abs(found[300, 700, :3].astype(int) - files.photo().numpy()[300, 700]).max() <= 1


def test_an_opaque_alpha_channel_makes_no_png():
    made = normalise(files.png(files.photo().bandjoin(255)))
    assert made.content_type == "image/jpeg" and decode_own(made.data).shape[2] == 3


def test_the_stored_jpeg_keeps_full_colour_resolution():
    assert (
        pyvips.Image.new_from_buffer(normalise(files.png(files.photo())).data, "").get(
            "jpeg-chroma-subsample"
        )
        == "4:4:4"
    )


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ((600, 800), (600, 800)),
        ((6000, 4500), (4096, 3072)),
        ((12_000, 520), (11_815, 512)),  # shrunk to 4096 it would be too narrow for any job
    ],
)
def test_only_a_photo_above_4096_pixels_a_side_is_shrunk(sent, stored):
    made = normalise(files.jpeg(pyvips.Image.black(*sent, bands=3).copy(interpretation="srgb")))
    found = probe(made.data)
    assert (found.width, found.height) == stored == (made.width, made.height)
    assert (made.source.width, made.source.height) == sent


def test_a_large_transparent_image_is_kept_at_the_working_size():
    clear = pyvips.Image.black(3000, 2400, bands=4).copy(interpretation="srgb")
    made = normalise(files.png(clear))
    assert (made.width, made.height) == (2048, 1638)


def test_a_noisy_photo_stays_within_the_later_stages_limit(monkeypatch):
    noise = files.srgb(np.random.default_rng(7).integers(0, 256, (700, 700, 3), dtype=np.uint8))
    sent = files.jpeg(noise)
    generous = normalise(sent)
    monkeypatch.setattr(normalising, "MAX_BYTES", len(generous.data) - 1)
    assert len(normalise(sent).data) < 0.8 * len(generous.data)
    assert MAX_BYTES == 25_000_000


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (lambda: b"<svg xmlns='http://www.w3.org/2000/svg'/>", "IMAGE_TYPE_UNSUPPORTED"),
        (lambda: b"GIF89a" + bytes(100), "IMAGE_CORRUPT"),
        (lambda: b"\x00\x00\x00\x1cftypavif" + bytes(100), "IMAGE_CORRUPT"),
        (files.bomb_png, "IMAGE_TOO_LARGE"),
        (files.small_jpeg, "IMAGE_TOO_SMALL"),
        (files.animated_png, "IMAGE_ANIMATED"),
        (files.animated_webp, "IMAGE_ANIMATED"),
        (files.broken_jpeg, "IMAGE_CORRUPT"),
        (files.broken_png, "IMAGE_CORRUPT"),
    ],
)
def test_an_unusable_image_is_refused(sent, code):
    with pytest.raises(ImageRefused) as caught:
        normalise(sent())
    assert caught.value.code == code


LARGEST = """
import resource, sys
from backend.renderers.wire import RenderLimits
limit = RenderLimits().memory_bytes
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
from backend.imaging.decode import harden_libvips
from backend.imaging.normalise import normalise
harden_libvips()
print(normalise(sys.stdin.buffer.read()).width)
"""


@pytest.mark.slow
def test_the_largest_photo_fits_into_a_childs_memory():
    # Progressive at 4:4:4: the decoder has to hold all of its coefficients at once.
    sent = (
        pyvips.Image.black(8000, 8000, bands=3)
        .copy(interpretation="srgb")
        .write_to_buffer(".jpg", interlace=True, subsample_mode="off")
    )
    done = subprocess.run(
        [sys.executable, "-c", LARGEST], input=sent, capture_output=True, cwd=ROOT, check=False
    )
    assert done.stdout == b"4096\n", done.stderr.decode()[-500:]
