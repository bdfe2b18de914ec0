"""Every picture of a request is looked at, and a message says which one is at fault."""

from typing import Any

import pytest

from backend.imaging.encode import decode_own, encode_final
from backend.imaging.source_type import DigitalSourceType
from backend.renderers.base import RenderFailed
from tests.backend.imaging import files
from tests.backend.renderers.stage_runs import ask

GOOD = files.jpeg(files.photo())


async def test_each_input_image_has_its_facts(renderer):
    small = files.png(files.photo(700, 512))
    facts = (await ask(renderer, "validate", source=GOOD, background=small)).facts
    assert (facts["format"], facts["width"], facts["height"]) == ("jpeg", 800, 600)
    background = facts["background"]
    assert (background["format"], background["width"], background["height"]) == ("png", 700, 512)
    assert background["sha256"] != facts["sha256"]


async def test_only_the_products_photo_gets_a_thumbnail(renderer):
    [small] = (await ask(renderer, "validate", source=GOOD, background=GOOD)).files
    assert (small.name, small.role) == ("original_thumbnail", "intermediate")
    assert (small.meta["width"], small.meta["height"]) == (512, 384)


@pytest.mark.parametrize(
    ("bad", "code", "message"),
    [
        (lambda: b"%PDF-1.7", "IMAGE_TYPE_UNSUPPORTED", "this is a PDF document"),
        (files.small_jpeg, "IMAGE_TOO_SMALL", "the image has 900 × 511 pixels"),
        (files.animated_webp, "IMAGE_ANIMATED", "this image is animated"),
        (files.broken_jpeg, "IMAGE_CORRUPT", "the image is damaged"),
    ],
)
async def test_an_error_names_the_background_if_it_is_at_fault(renderer, bad, code, message):
    with pytest.raises(RenderFailed) as caught:
        await ask(renderer, "validate", source=GOOD, background=bad())
    assert caught.value.code == code
    assert caught.value.failure.message.startswith(f"The background: {message}")
    with pytest.raises(RenderFailed) as of_the_photo:
        await ask(renderer, "validate", source=bad(), background=GOOD)
    assert of_the_photo.value.code == code
    assert "background" not in of_the_photo.value.failure.message


@pytest.mark.parametrize(
    ("name", "words"),
    [("person", "The photo of the person: "), ("garment_3", "The third garment: ")],
)
async def test_an_error_names_whichever_further_picture_is_at_fault(renderer, name, words):
    further: dict[str, Any] = {name: GOOD[:9000]}
    with pytest.raises(RenderFailed) as caught:
        await ask(renderer, "validate", source=GOOD, **further)
    assert caught.value.code == "IMAGE_CORRUPT"
    assert caught.value.failure.message.startswith(words)


async def test_each_picture_says_whether_a_model_made_it(renderer):
    person = encode_final(
        decode_own(GOOD),
        size=800,
        format_="jpeg",
        source_type=DigitalSourceType.TRAINED_ALGORITHMIC_MEDIA,
    )
    facts = (await ask(renderer, "validate", source=GOOD, person=person, garment_2=GOOD)).facts
    assert facts["person"]["digital_source_type"] == "trainedAlgorithmicMedia"
    assert "digital_source_type" not in facts["garment_2"] and "digital_source_type" not in facts


async def test_validation_needs_the_products_photo(renderer):
    with pytest.raises(RenderFailed) as caught:
        await ask(renderer, "validate", background=GOOD)
    assert caught.value.code == "RENDER_REQUEST_INVALID"
