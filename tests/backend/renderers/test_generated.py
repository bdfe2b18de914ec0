"""Finals of a hosted engine's picture: labelled as generated, inside the file too."""

from typing import Any

import pytest

from backend.imaging.encode import decode_own, encode_png
from backend.renderers.base import RenderedFile, RenderFailed, RenderRequest
from backend.workflows import WORKFLOWS
from backend.workflows.product_to_model import PRODUCT_TO_MODEL_DIRECT
from backend.workflows.registry import Workflow
from tests.backend.imaging import files, worn
from tests.source_types import source_type_in

OUTPUTS = [
    {"size": 800, "format": "jpeg"},
    {"size": 400, "format": "webp"},
    {"size": 300, "format": "avif"},
]
MASTER = files.jpeg(files.photo(640, 800))
HOSTED = {
    "generative": True,
    "provider": "fashn",
    "model": "product-to-model",
    "seed": 7,
    "cost": None,
    "provider_job_id": "p-1",
    "inputs": {"product": "0" * 64},
}


async def finals(
    renderer: Any,
    stage: str,
    workflow: Workflow,
    facts: dict[str, Any],
    *,
    inputs: dict[str, bytes] | None = None,
    **params: Any,
) -> list[RenderedFile]:
    request = RenderRequest(
        stage=stage,
        inputs=inputs or {"master": MASTER},
        job_type=workflow.job_type,
        params={"outputs": OUTPUTS, **params},
        facts=facts,
    )
    rendered = await renderer.render(request)
    assert [file.kind for file in rendered.files if file.role != "final"] == ["thumbnail"]
    made = [file for file in rendered.files if file.role == "final"]
    assert rendered.facts == {name: made[0].meta[name] for name in ("verdict", "reasons")}
    return made


async def test_a_hosted_render_is_labelled_as_generated(renderer):
    made = await finals(
        renderer,
        "encode_render",
        PRODUCT_TO_MODEL_DIRECT,
        {"dress": HOSTED, "validate": {}},
        category="top",
    )
    assert [(file.name, file.kind, file.label) for file in made] == [
        ("model-800.jpg", "on_model_render", "640 × 800 JPEG"),
        ("model-400.webp", "on_model_render", "320 × 400 WebP"),
        ("model-300.avif", "on_model_render", "240 × 300 AVIF"),
    ]
    for file in made:
        label = "compositeWithTrainedAlgorithmicMedia"
        assert source_type_in(file.data) == label == file.meta["digital_source_type"]
        assert file.meta["generative"] is True and file.meta["is_preview"] is False
        assert file.meta["synthetic_person"] is True
        assert (file.meta["provider"], file.meta["model"], file.meta["seed"]) == (
            "fashn",
            "product-to-model",
            7,
        )
        assert file.meta["lqip"].startswith("data:image/webp")
        assert file.meta["verdict"] == "needs_review"
        height, width = decode_own(file.data).shape[:2]
        assert (file.meta["width"], file.meta["height"]) == (width, height)


async def test_a_final_larger_than_the_engines_picture_says_so(renderer):
    large = [{"size": 2048, "format": "jpeg"}, {"size": 800, "format": "jpeg"}]
    made = await finals(
        renderer,
        "encode_render",
        PRODUCT_TO_MODEL_DIRECT,
        {"dress": HOSTED},
        category="top",
        outputs=large,
    )
    assert [file.meta["quality"]["upscaled"] for file in made] == [True, False]
    assert made[0].meta["quality"]["scale"] == 2.56
    assert "UPSCALED" in {reason["code"] for reason in made[0].meta["reasons"]}
    assert "UPSCALED" not in {reason["code"] for reason in made[1].meta["reasons"]}


@pytest.mark.parametrize("facts", [{}, {"dress": {**HOSTED, "generative": False}}])
async def test_a_picture_of_unknown_origin_is_not_encoded(renderer, facts):
    with pytest.raises(RenderFailed) as caught:
        await finals(renderer, "encode_generated", PRODUCT_TO_MODEL_DIRECT, facts, category="top")
    assert caught.value.code == "RENDER_REQUEST_INVALID"


SMALL = [{"size": 300, "format": "jpeg"}]
PHOTO = {"format": "jpeg", "width": 800, "height": 600, "bytes": 9, "sha256": "0" * 64}
BY_MODEL = {**PHOTO, "digital_source_type": "trainedAlgorithmicMedia"}


@pytest.mark.parametrize(
    ("workflow", "stage", "kind", "label", "is_person"),
    [
        ("MODEL_GENERATOR", "generate_model", "generated_model", "trainedAlgorithmicMedia", True),
        (
            "BACKGROUND_GENERATOR",
            "generate_background",
            "generated_background",
            "trainedAlgorithmicMedia",
            False,
        ),
        (
            "COMPLEMENTARY_GARMENT_GENERATOR",
            "generate_garment",
            "complementary_garment",
            "trainedAlgorithmicMedia",
            False,
        ),
        (
            "EXTRACT",
            "extract",
            "extracted_garment",
            "compositeWithTrainedAlgorithmicMedia",
            False,
        ),
    ],
)
async def test_each_workflow_labels_what_it_makes(
    renderer, workflow, stage, kind, label, is_person
):
    params: dict[str, Any] = {"category": "shoes"} if stage == "generate_garment" else {}
    [final] = await finals(
        renderer,
        "encode_generated",
        WORKFLOWS[workflow],
        {"validate": PHOTO, stage: HOSTED},
        outputs=SMALL,
        **params,
    )
    assert final.kind == kind and source_type_in(final.data) == label
    assert final.meta["synthetic_person"] is is_person
    assert [reason["code"] for reason in final.meta["reasons"]] == ["NOT_COMPARED"]


@pytest.mark.parametrize(("person", "is_synthetic"), [(PHOTO, False), (BY_MODEL, True)])
async def test_a_person_who_was_photographed_is_not_called_synthetic(
    renderer, person, is_synthetic
):
    facts = {"validate": {**PHOTO, "person": person}, "try_on": HOSTED}
    [final] = await finals(renderer, "encode_generated", WORKFLOWS["TRY_ON"], facts, outputs=SMALL)
    assert final.meta["synthetic_person"] is is_synthetic


async def test_a_picture_names_each_stage_that_generated_and_the_last_one_itself(renderer):
    by_stage = {"change_background": "edit", "generate_model": "model-create", "try_on": "tryon"}
    facts = {name: {**HOSTED, "model": model} for name, model in by_stage.items()}
    [final] = await finals(
        renderer,
        "encode_generated",
        WORKFLOWS["PRODUCT_TO_MODEL_PHASED"],
        {"prepare": PHOTO, "validate": PHOTO, **facts},
        outputs=SMALL,
    )
    assert final.meta["model"] == "edit"
    assert [(made["stage"], made["model"]) for made in final.meta["generated_by"]] == [
        ("generate_model", "model-create"),
        ("try_on", "tryon"),
        ("change_background", "edit"),
    ]


@pytest.mark.slow
async def test_a_garment_that_is_found_again_passes_and_another_does_not(renderer, segmented):
    bench = await segmented("tee_white")
    cutout = bench.data["cutout"]
    picture = encode_png(worn.worn(decode_own(cutout), "top", worn.SHOTS["studio"]))
    for name, is_same in (("tee_white", True), ("tee_navy", False)):
        other = (await segmented(name)).data["cutout"]
        [final] = await finals(
            renderer,
            "encode_generated",
            WORKFLOWS["TRY_ON"],
            {"segment": bench.facts["segment"], "validate": PHOTO, "try_on": HOSTED},
            inputs={"master": picture, "cutout": other},
            outputs=SMALL,
        )
        assert final.meta["verdict"] == ("pass" if is_same else "needs_review")
        assert bool(final.meta["reasons"]) is not is_same
