"""A merchant's file on its way into the storage, through a real child."""

import hashlib
import io

import pytest
from PIL import Image

from backend.imaging.encode import decode_own
from backend.renderers.base import RenderFailed
from tests.backend.imaging import files
from tests.backend.renderers.stage_runs import ask


async def test_an_upload_is_returned_upright_without_metadata(renderer):
    sent = files.located_jpeg()
    rendered = await ask(renderer, "normalise", source=sent)
    (upload,) = rendered.files
    assert (upload.name, upload.kind, upload.role, upload.label) == (
        "upload",
        "upload",
        "intermediate",
        None,
    )
    assert upload.meta == {
        "width": 600,
        "height": 800,
        "content_type": "image/jpeg",
        "bytes": len(upload.data),
        "sha256": hashlib.sha256(upload.data).hexdigest(),
    }
    assert upload.content_type == "image/jpeg"
    assert decode_own(upload.data).shape == (800, 600, 3)
    assert b"canary" in sent and b"canary" not in upload.data
    assert rendered.facts == {
        "format": "jpeg",
        "width": 600,
        "height": 800,
        "bytes": len(sent),
        "sha256": hashlib.sha256(sent).hexdigest(),
    }


async def test_a_normalised_upload_passes_every_later_check(renderer):
    clear = files.png(files.photo(2600, 2100).bandjoin(200))
    (upload,) = (await ask(renderer, "normalise", source=clear)).files
    assert upload.content_type == "image/png"
    facts = (await ask(renderer, "validate", source=upload.data)).facts
    assert (facts["width"], facts["height"]) == (2048, 1654)
    assert facts["sha256"] == upload.meta["sha256"]


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "IMAGE_TYPE_UNSUPPORTED"),
        (files.jpeg(files.photo(900, 500)), "IMAGE_TOO_SMALL"),
        (files.bomb_png(), "IMAGE_TOO_LARGE"),
        (files.animated_png(), "IMAGE_ANIMATED"),
        (files.jpeg(files.photo())[:9000], "IMAGE_CORRUPT"),
    ],
)
async def test_a_bad_upload_is_refused_permanently(renderer, sent, code):
    with pytest.raises(RenderFailed) as caught:
        await ask(renderer, "normalise", source=sent)
    assert (caught.value.code, caught.value.failure.retryable) == (code, False)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["TIFF", "GIF"])
async def test_a_large_picture_is_read_without_a_file_to_unpack_it_into(renderer, kind):
    """Libvips would unpack 100 MB and more into one, which the child must not write."""
    file = io.BytesIO()
    options = {"compression": "tiff_lzw"} if kind == "TIFF" else {}
    Image.new("RGB", (6400, 6000), "navy").save(file, kind, **options)
    [made] = (await ask(renderer, "normalise", source=file.getvalue())).files
    assert (made.meta["width"], made.meta["height"]) == (4096, 3840)
