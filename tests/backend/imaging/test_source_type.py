"""IPTC's DigitalSourceType: written into each file, and read from photos."""

import io
from xml.etree import ElementTree

import numpy as np
import pytest
import pyvips
from PIL import Image

from backend.imaging.decode import probe
from backend.imaging.encode import FinalFormat, encode_final, encode_png
from backend.imaging.normalise import normalise
from backend.imaging.source_type import (
    GENERATIVE,
    DigitalSourceType,
    declared_generative,
    source_type_of,
    xmp_packet,
)
from tests.backend.imaging import files
from tests.source_types import source_type_in

ENHANCED = DigitalSourceType.ALGORITHMICALLY_ENHANCED
BY_MODEL = DigitalSourceType.TRAINED_ALGORITHMIC_MEDIA
PIXELS = np.full((64, 64, 3), 200, np.uint8)


@pytest.mark.parametrize("source_type", DigitalSourceType)
@pytest.mark.parametrize("format_", ["jpeg", "webp", "avif"])
def test_each_encoder_writes_what_another_library_reads(
    format_: FinalFormat, source_type: DigitalSourceType
) -> None:
    data = encode_final(PIXELS, size=64, format_=format_, source_type=source_type)
    assert source_type_in(data) == source_type
    assert data == encode_final(PIXELS, size=64, format_=format_, source_type=source_type)


@pytest.mark.parametrize("pixels", [PIXELS, np.dstack([PIXELS, PIXELS[..., :1]])])
def test_a_png_has_it_too(pixels) -> None:
    data = encode_png(pixels, ENHANCED)
    assert source_type_in(data) == ENHANCED
    assert xmp_packet(ENHANCED) in data, "programs search the bytes for it"
    assert source_type_in(encode_png(pixels)) is None


def test_the_packet_is_all_that_is_in_the_file() -> None:
    for data in (
        encode_final(PIXELS, size=64, format_="jpeg", source_type=ENHANCED),
        encode_final(PIXELS, size=64, format_="webp", source_type=ENHANCED),
        encode_png(PIXELS, ENHANCED),
    ):
        assert not set(Image.open(io.BytesIO(data)).info) & {"exif", "icc_profile", "comment"}
    root = ElementTree.fromstring(xmp_packet(ENHANCED).decode())
    [description] = root.iter("{http://www.w3.org/1999/02/22-rdf-syntax-ns#}Description")
    assert len(description.attrib) == 2 and len(description) == 0


def declaring(declared: str, suffix: str, photo: pyvips.Image) -> bytes:
    """A photo whose XMP names its author and this type."""
    image = photo.copy()
    xmp = xmp_packet(ENHANCED).replace(ENHANCED.encode(), declared.encode() + b"canary-author")
    image.set_type(pyvips.GValue.blob_type, "xmp-data", xmp.replace(b"canary", b"/canary"))
    data: bytes = image.write_to_buffer(suffix)
    return data


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
@pytest.mark.parametrize("declared", GENERATIVE)
def test_a_photo_by_a_model_stays_one_and_loses_the_rest(declared, suffix) -> None:
    opaque = files.photo(520, 520)
    for photo in (opaque, opaque.bandjoin(opaque[0])):
        if photo.hasalpha() and suffix == ".jpg":
            continue
        sent = declaring(declared, suffix, photo)
        assert probe(sent).digital_source_type == declared
        stored = normalise(sent).data
        assert source_type_in(stored) == declared == probe(stored).digital_source_type
        assert b"canary" not in stored


@pytest.mark.parametrize(
    "xmp",
    [
        b"",
        b"\xff" * 1000,
        b"trainedAlgorithmicMedia",
        xmp_packet(ENHANCED),
        xmp_packet(ENHANCED).replace(ENHANCED.encode(), b"digitalCapture"),
        b"http://cv.iptc.org/newscodes/digitalsourcetype/" + b"a" * 100_000,
        b" " * 1_000_000 + xmp_packet(BY_MODEL),
    ],
)
def test_other_declarations_say_nothing_of_a_model(xmp: bytes) -> None:
    assert declared_generative(xmp) is None


def test_a_camera_photo_declares_nothing() -> None:
    assert probe(files.located_jpeg()).digital_source_type is None
    assert source_type_in(normalise(files.located_jpeg()).data) is None


def test_a_picture_is_called_after_all_its_parts() -> None:
    assert source_type_of(None, None) == "algorithmicallyEnhanced"
    assert source_type_of(None, None, is_composite=True) == "composite"
    assert source_type_of(BY_MODEL) == BY_MODEL
    assert source_type_of(None, BY_MODEL, is_composite=True) == "compositeSynthetic"
