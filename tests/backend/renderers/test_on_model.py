"""A preview that says that it is one, and what is delivered where none would look right."""

import pytest

from backend.imaging.encode import decode_own, encode_png
from backend.renderers.base import RenderFailed
from backend.workflows.product_to_model import PRODUCT_TO_MODEL_DIRECT
from tests.backend.imaging import outlines
from tests.backend.renderers.stage_runs import JobRun, ask, run

SMALL = [{"size": 800, "format": "jpeg"}, {"size": 400, "format": "webp"}]
LABEL = "Mannequin preview — not a photo of a person"
CLEAN = {
    "engine": {"name": "atelier-local", "version": "8", "model": None, "model_sha256": None},
    "quality": {
        "by_model": True,
        "backdrop": "studio",
        "bg_noise": 1.0,
        "contrast": 30.0,
        "certain": 0.99,
        "soft": 0.01,
        "coverage": 0.3,
        "extended": 0.0,
        "touches_edge": [],
    },
}


def cut(shape: outlines.Shape, **quality: object) -> JobRun:
    """A bench after `segment`, with a clean cut-out but for the given figures."""
    facts = {**CLEAN, "quality": {**CLEAN["quality"], **quality}}  # type: ignore[dict-item]
    return JobRun(
        data={"source": b"", "cutout": encode_png(outlines.cutout(shape))},
        facts={"validate": {}, "segment": facts},
    )


def codes(meta) -> list[str]:
    return [reason["code"] for reason in meta["reasons"]]


@pytest.mark.parametrize(
    ("name", "category", "body"), [("tee_navy", "top", "male"), ("dress_floral", "dress", "female")]
)
async def test_a_garment_becomes_a_labelled_preview(renderer, segmented, name, category, body):
    stage_run = await run(
        renderer,
        PRODUCT_TO_MODEL_DIRECT,
        await segmented(name),
        category=category,
        body=body,
        outputs=SMALL,
    )
    assert [(f.name, f.kind, f.label) for f in stage_run.finals()] == [
        ("mannequin-800.jpg", "on_model_render", LABEL),
        ("mannequin-400.webp", "on_model_render", LABEL),
    ]
    for final in stage_run.finals():
        height, width = decode_own(final.data).shape[:2]
        assert (final.meta["width"], final.meta["height"]) == (width, height)
        assert width / height == 0.8
        assert final.meta["renderer"] == "local-mannequin"
        assert final.meta["is_preview"] is True
        assert final.meta["synthetic_person"] is final.meta["generative"] is False
        assert final.meta["fit_q"] > 0.95
        assert final.meta["engine"]["model"] == "u2netp"
        assert final.meta["verdict"] == "pass" and final.meta["lqip"].startswith("data:image/webp")
    assert stage_run.facts["dress"]["is_preview"] is True
    assert stage_run.facts["encode_render"] == {"verdict": "pass", "reasons": []}


async def test_a_garment_without_a_fit_is_shown_alone_and_needs_review(renderer):
    tilted = outlines.tilted(outlines.tee(), 25)
    stage_run = await run(
        renderer,
        PRODUCT_TO_MODEL_DIRECT,
        cut(tilted),
        category="top",
        background="#f4efe6",
        outputs=SMALL,
    )
    for final in stage_run.finals():
        assert final.kind == "catalog_image" and final.label != LABEL
        assert final.meta["is_preview"] is False and "renderer" not in final.meta
        assert final.meta["fit_q"] < 0.85
        assert final.meta["verdict"] == "needs_review" and codes(final.meta) == ["POOR_FIT"]
    rgb = decode_own(stage_run.data["master"])
    assert rgb.shape == (800, 640, 3)
    assert (rgb[[0, 0, -1, -1], [0, -1, 0, -1]] == [0xF4, 0xEF, 0xE6]).all()
    grey = (rgb.max(axis=-1) - rgb.min(axis=-1) < 10) & (rgb.max(axis=-1) < 225)
    assert grey.mean() < 0.01  # no mannequin, which would take a fifth of it


@pytest.mark.parametrize(
    ("figure", "code"),
    [
        ({"backdrop": "scene"}, "BUSY_BACKGROUND"),
        ({"certain": 0.9}, "UNCERTAIN_OUTLINE"),
        ({"touches_edge": ["bottom"]}, "CUT_OFF"),
        ({"by_model": False, "contrast": 3.0}, "LOW_CONTRAST"),
    ],
)
async def test_a_doubtful_cutout_is_not_put_on_a_mannequin(renderer, figure, code):
    stage_run = await run(
        renderer,
        PRODUCT_TO_MODEL_DIRECT,
        cut(outlines.tee(), **figure),
        category="top",
        outputs=SMALL[1:],
    )
    (final,) = stage_run.finals()
    assert final.kind == "catalog_image" and final.meta["is_preview"] is False
    assert codes(final.meta) == ["POOR_CUTOUT", code]
    assert final.meta["fit_q"] > 0.9  # it is not the fit that is to blame


@pytest.mark.parametrize(
    ("figure", "code"), [({"soft": 0.2}, "SOFT_EDGES"), ({"coverage": 0.05}, "SMALL_PRODUCT")]
)
async def test_other_doubts_need_review_in_the_preview(renderer, figure, code):
    stage_run = await run(
        renderer,
        PRODUCT_TO_MODEL_DIRECT,
        cut(outlines.tee(), **figure),
        category="top",
        outputs=SMALL[1:],
    )
    (final,) = stage_run.finals()
    assert final.kind == "on_model_render" and final.meta["is_preview"] is True
    assert final.meta["verdict"] == "needs_review" and codes(final.meta) == [code]


async def test_an_unmeasured_cutout_is_not_put_on_a_mannequin(renderer):
    start = cut(outlines.tee())
    rendered = await ask(
        renderer,
        "dress",
        {"category": "top", "outputs": SMALL},
        workflow=PRODUCT_TO_MODEL_DIRECT,
        cutout=start.data["cutout"],
    )
    assert rendered.facts["is_preview"] is False
    assert codes(rendered.facts) == ["POOR_CUTOUT", "NOT_MEASURED"]


@pytest.mark.parametrize(
    ("stage", "params", "code"),
    [
        ("dress", {}, "CATEGORY_UNKNOWN"),
        ("dress", {"category": "hat"}, "RENDER_REQUEST_INVALID"),
        ("dress", {"category": "top", "body": "child"}, "RENDER_REQUEST_INVALID"),
        ("encode_render", {"category": "top"}, "RENDER_REQUEST_INVALID"),
    ],
    ids=["no-category", "unknown-category", "unknown-body", "without-the-facts-of-dress"],
)
async def test_a_missing_or_unknown_category_is_refused(renderer, stage, params, code):
    picture = cut(outlines.tee()).data["cutout"]
    with pytest.raises(RenderFailed) as caught:
        await ask(
            renderer,
            stage,
            params,
            workflow=PRODUCT_TO_MODEL_DIRECT,
            cutout=picture,
            master=picture,
        )
    assert caught.value.code == code
