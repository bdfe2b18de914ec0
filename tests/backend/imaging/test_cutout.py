"""Real cut-outs: the sample garments, and painted scenes whose true alpha is known.

The bounds are the measured figures times one and a half to three, for other processors' rounding.
"""

import numpy as np
import pytest
from numpy.typing import NDArray

from backend.imaging import filters, subject
from backend.imaging.coarse import SubjectNotFound
from backend.imaging.cutout import cut_out
from backend.imaging.decode import DecodedImage, decode
from backend.imaging.quality import verdict_on
from backend.imaging.regions import touching, without_specks
from backend.imaging.subject import SubjectNet, load_net
from tests.backend.imaging import files, scenes
from tests.backend.imaging.conftest import MODEL
from tests.backend.imaging.outline_errors import edge_error, overlap


def colour_drift(rgba: NDArray[np.uint8], scene: scenes.Scene) -> float:
    """Mean difference, in levels, of the rim's colours from what the product was painted with."""
    rim = (scene.alpha > 0.2) & (scene.alpha < 1) & (rgba[..., 3] > 50)
    return float(np.abs(rgba[..., :3] - scene.colours).mean(axis=-1)[rim].mean())


def enclosed(empty: filters.Mask) -> filters.Mask:
    """The part of an empty area that cannot be reached from the picture's frame."""
    return empty & ~touching(empty, filters.border(empty.shape))


@pytest.mark.parametrize("name", ["tee_navy", "tee_white", "dress_floral"])
def test_clean_garments_pass(cut_garment, name):
    assert verdict_on(cut_garment(name).quality).verdict == "pass"


def test_low_contrast_stripes_need_review_with_a_reason(cut_garment):
    verdict = verdict_on(cut_garment("breton_long_sleeve").quality)
    assert verdict.verdict == "needs_review"
    assert [reason.code for reason in verdict.reasons] == ["UNCERTAIN_OUTLINE"]


@pytest.mark.parametrize("name", ["tee_navy", "tee_white", "dress_floral", "breton_long_sleeve"])
def test_a_cutout_has_no_holes_or_stray_specks(cut_garment, name):
    solid = cut_garment(name).mask > 127
    assert not enclosed(~solid).any()
    assert (without_specks(solid, 0.99) == solid).all()


@pytest.mark.parametrize("name", ["tee_navy", "dress_floral"])
def test_the_edge_of_a_dark_garment_has_no_light_halo(cut_garment, name):
    rgba = cut_garment(name).rgba
    rim = (rgba[..., 3] > 12) & (rgba[..., 3] < 243)
    inside = filters.erode(rgba[..., 3] > 250, 6) & filters.dilate(rim, 20)
    # The backdrop is 236 bright; a mixture left in the rim would lift it far above the cloth.
    assert rgba[rim][:, :3].mean() < rgba[inside][:, :3].mean() + 25


@pytest.mark.parametrize(
    ("colour", "shadow", "worst_edge", "least_overlap"),
    [
        pytest.param(scenes.NAVY, 0.0, 0.003, 0.995, marks=pytest.mark.slow),
        (scenes.NAVY, 0.15, 0.004, 0.995),
        pytest.param(scenes.CREAM, 0.0, 0.01, 0.995, marks=pytest.mark.slow),
        (scenes.WHITE, 0.0, 0.07, 0.985),
    ],
    ids=["navy", "navy-with-shadow", "tan", "white-on-white"],
)
def test_a_known_alpha_and_its_colours_are_recovered(
    net, colour, shadow, worst_edge, least_overlap
):
    scene = scenes.tee(colour, shadow=shadow)
    cutout = cut_out(decode(scene.jpeg), net)
    assert edge_error(cutout.mask, scene.alpha) < worst_edge
    assert overlap(cutout.mask, scene.alpha) > least_overlap
    assert colour_drift(cutout.rgba, scene) < 6  # half way to the paper would be up to 90
    assert verdict_on(cutout.quality).verdict == "pass"


def test_white_stripes_get_no_holes(net):
    scene = scenes.tee(scenes.NAVY, scenes.WHITE)
    alpha = cut_out(decode(scene.jpeg), net).mask
    assert not enclosed(alpha <= 127).any()
    assert alpha[300:800, 300:600].min() == 255


def test_colour_alone_cuts_out_the_navy_tee(garment, cut_garment):
    cutout = cut_out(decode(garment("tee_navy")), None)
    assert not cutout.quality.by_model and cutout.quality.certain is None
    assert overlap(cutout.mask, cut_garment("tee_navy").mask / 255) > 0.995
    assert verdict_on(cutout.quality).verdict == "pass"


def test_white_on_white_without_a_model_needs_review(garment):
    verdict = verdict_on(cut_out(decode(garment("tee_white")), None).quality)
    assert "LOW_CONTRAST" in [reason.code for reason in verdict.reasons]


def test_modified_model_weights_are_never_loaded(tmp_path, monkeypatch):
    def loaded(*_: object, **__: object) -> None:
        pytest.fail("untrusted weights were loaded")

    weights = bytearray(MODEL.read_bytes())
    weights[1000] ^= 1
    forged = tmp_path / "u2netp.onnx"
    forged.write_bytes(weights)
    monkeypatch.setattr(subject, "open_network", loaded)
    assert load_net(forged) is None
    assert load_net(tmp_path / "absent.onnx") is None
    assert load_net(None) is None


def test_a_cutout_made_by_the_merchant_is_used_unchanged():
    image = files.photo()
    alpha = (image[1] < 100).ifthenelse(255, 0)
    cutout = cut_out(decode(files.png(image.bandjoin(alpha))), None)
    assert cutout.quality.backdrop == "transparent"
    assert (cutout.mask == alpha.numpy()).all()


@pytest.mark.parametrize("model", ["net", "colour"])
def test_an_empty_photo_has_no_subject(net, model):
    with pytest.raises(SubjectNotFound):
        cut_out(decode(scenes.empty()), net if model == "net" else None)


def test_a_fully_transparent_file_has_no_subject():
    with pytest.raises(SubjectNotFound):
        cut_out(decode(files.png(files.photo().bandjoin(0))), None)


def test_a_busy_background_needs_review(net):
    quality = cut_out(decode(scenes.tee_outdoors()), net).quality
    assert quality.backdrop == "scene"
    assert "BUSY_BACKGROUND" in [reason.code for reason in verdict_on(quality).reasons]


def test_a_cropped_product_is_reported_with_its_sides(net):
    cropped = files.srgb(decode(scenes.tee(scenes.NAVY).jpeg).rgb).crop(0, 0, 900, 700)
    quality = cut_out(decode(files.jpeg(cropped)), net).quality
    assert quality.touches_edge == ["bottom"]
    assert verdict_on(quality).reasons[0].message == "The photo cuts the product off at the bottom."


def test_a_product_that_fills_its_photo_is_opaque():
    class Sure(SubjectNet):
        def __init__(self) -> None:
            """Without weights."""

        def probability(self, rgb):
            return np.ones((320, 320), dtype=np.float32)

    noise = np.random.default_rng(1).integers(0, 255, (300, 300, 3), dtype=np.uint8)
    cut = cut_out(DecodedImage(noise, None), Sure())
    assert (cut.mask == 255).all()
