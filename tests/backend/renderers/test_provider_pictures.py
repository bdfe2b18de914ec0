"""What a provider gets of a photo, and what is kept of what it delivers, through a real child."""

import io

import numpy as np
import pytest
from PIL import Image

from backend.imaging.encode import decode_own, encode_png
from backend.imaging.provider_images import is_blank
from backend.imaging.source_type import DigitalSourceType
from backend.renderers.base import RenderFailed
from tests.backend.imaging import files
from tests.backend.renderers.stage_runs import ask
from tests.source_types import source_type_in


async def test_a_provider_gets_the_photo_upright_and_nothing_else_of_the_file(renderer):
    sent = files.located_jpeg()
    rendered = await ask(renderer, "prepare", source=sent)
    (product,) = rendered.files
    assert (product.name, product.kind, product.role) == ("product", "product", "intermediate")
    assert (product.content_type, product.meta["width"], product.meta["height"]) == (
        "image/jpeg",
        600,
        800,
    )
    picture = Image.open(io.BytesIO(product.data))
    assert picture.size == (600, 800) and picture.format == "JPEG"
    assert not picture.getexif() and not set(picture.info) & {"exif", "xmp", "icc_profile"}
    assert b"canary" in sent and b"canary" not in product.data
    assert product.meta["generative"] is False


@pytest.mark.parametrize(("width", "height"), [(2600, 1300), (700, 3000)])
async def test_a_provider_gets_at_most_2048_pixels_a_side(renderer, width, height):
    sent = files.jpeg(files.photo(width, height))
    (product,) = (await ask(renderer, "prepare", source=sent)).files
    size = (product.meta["width"], product.meta["height"])
    assert max(size) == 2048
    assert size[0] / size[1] == pytest.approx(width / height, rel=0.01)


async def test_a_transparent_product_is_sent_on_white(renderer):
    clear = files.photo().bandjoin(0)
    (product,) = (await ask(renderer, "prepare", source=files.png(clear))).files
    assert (decode_own(product.data) == 255).all()


async def test_a_providers_picture_is_painted_anew_and_labelled(renderer):
    delivered = files.png(files.photo()) + b"canary behind the last pixel"
    rendered = await ask(renderer, "normalise_output", source=delivered)
    (output,) = rendered.files
    assert (output.name, output.content_type) == ("output", "image/jpeg")
    assert output.meta["generative"] is True
    assert b"canary" not in output.data
    assert source_type_in(output.data) == "trainedAlgorithmicMedia"
    drawn = decode_own(files.png(files.photo())).astype(int)
    assert np.abs(decode_own(output.data) - drawn).mean() < 1
    assert rendered.facts["format"] == "png" and rendered.facts["bytes"] == len(delivered)


async def test_what_a_provider_declares_of_its_picture_is_kept(renderer):
    declared = decode_own(files.png(files.photo()))
    delivered = encode_png(declared, DigitalSourceType.EDITED_BY_MODEL)
    rendered = await ask(renderer, "normalise_output", source=delivered)
    assert rendered.facts["digital_source_type"] == DigitalSourceType.EDITED_BY_MODEL
    assert source_type_in(rendered.files[0].data) == DigitalSourceType.EDITED_BY_MODEL


@pytest.mark.parametrize(
    ("delivered", "why"),
    [
        (lambda: b"", "it is not a JPEG, PNG or WebP"),
        (lambda: b"<html>expired</html>", "it is not a JPEG, PNG or WebP"),
        (lambda: files.photo().write_to_buffer(".gif"), "it is not a JPEG, PNG or WebP"),
        (files.broken_jpeg, "it is damaged"),
        (files.small_jpeg, "its shorter side"),
        (files.animated_webp, "it is animated"),
        (files.animated_png, "it is animated"),
        (files.bomb_png, "it has too many bytes or pixels"),
        (lambda: files.jpeg(files.photo() * 0), "it shows nothing"),
        (lambda: files.png(files.photo().bandjoin(0)), "it shows nothing"),
    ],
    ids=[
        "empty", "html", "gif", "cut", "tiny", "webp-film", "png-film", "bomb", "black", "clear",
    ],
)  # fmt: skip
async def test_what_is_no_usable_picture_is_refused(renderer, delivered, why):
    with pytest.raises(RenderFailed) as caught:
        await ask(renderer, "normalise_output", source=delivered())
    assert caught.value.code == "PROVIDER_OUTPUT_INVALID"
    assert caught.value.failure.retryable
    assert why in caught.value.failure.message


def test_a_studio_backdrop_with_a_fall_off_of_light_is_not_blank():
    light = np.linspace(236, 246, 400).astype(np.uint8)
    backdrop = np.broadcast_to(light[:, None, None], (400, 300, 3))
    assert not is_blank(backdrop)
    assert is_blank(backdrop // 100)
