"""A workflow that cannot work is refused when it is defined, not when its first job runs."""

from typing import Any

import msgspec
import pytest

from backend.jobs.storefront import storefront_request
from backend.workflows import RETIRED, WORKFLOWS, name_of
from backend.workflows.catalog_image import CATALOG_IMAGE
from backend.workflows.pictures import PRIVATE_UPLOAD_FIELDS, ProductPhoto
from backend.workflows.registry import by_job_type
from backend.workflows.stages import Stage, StageFile, StageName
from tests.minimal_requests import UNKNOWN_ENTRY, UNKNOWN_UPLOAD

FETCH, VALIDATE, SEGMENT, COMPOSE, ENCODE = CATALOG_IMAGE.stages


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ((FETCH, VALIDATE, COMPOSE, ENCODE), "Stage compose of catalog-image reads cutout"),
        ((FETCH, SEGMENT, ENCODE, COMPOSE), "Stage encode of catalog-image reads master"),
        ((SEGMENT,), "Stage segment of catalog-image reads source"),
        ((FETCH, VALIDATE, VALIDATE), "twice: fetch, validate, validate"),
    ],
)
def test_stages_that_do_not_fit_together_are_refused(
    stages: tuple[Stage, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        msgspec.structs.replace(CATALOG_IMAGE, stages=stages)


@pytest.mark.parametrize("changes", [{"name": "other"}, {"job_type": "OTHER"}])
def test_two_workflows_cannot_share_a_name(changes: dict[str, Any]) -> None:
    other = msgspec.structs.replace(CATALOG_IMAGE, **changes)
    with pytest.raises(ValueError, match="catalog-image"):
        by_job_type(CATALOG_IMAGE, other)


@pytest.mark.parametrize("workflow", WORKFLOWS.values(), ids=lambda each: each.name)
def test_every_request_has_the_workflows_parameters_with_their_defaults(workflow: Any) -> None:
    own = {each.name: each for each in msgspec.structs.fields(workflow.parameters)}
    images = {name for image in workflow.further_images for name in image.ways}
    photo = set(ProductPhoto.__struct_fields__) if workflow.has_photo else set()
    for kind, others in (
        (workflow.request, photo | images),
        (workflow.without_photo, images - PRIVATE_UPLOAD_FIELDS),
        (storefront_request(workflow), {"product_id"}),
    ):
        fields = {each.name: each for each in msgspec.structs.fields(kind)}
        assert fields.keys() == own.keys() | others
        assert {name: fields[name] for name in own} == own
        assert kind.__struct_config__.forbid_unknown_fields


def test_a_request_names_a_person_by_an_upload_or_by_an_entry() -> None:
    fields = WORKFLOWS["TRY_ON"].request.__struct_fields__
    assert {"person_upload_key", "model_id"} <= {*fields}
    parameters = {"model_id": UNKNOWN_ENTRY, "person_upload_key": UNKNOWN_UPLOAD}
    with pytest.raises(msgspec.ValidationError, match="person_upload_key"):
        msgspec.convert(parameters, WORKFLOWS["TRY_ON"].without_photo)


def test_a_rule_must_name_an_image_that_it_can_name_in_one_way_alone() -> None:
    with pytest.raises(msgspec.ValidationError, match="model_id"):
        msgspec.convert({}, WORKFLOWS["TRY_ON"].without_photo)


def test_a_stage_whose_result_is_named_is_skipped() -> None:
    phased = WORKFLOWS["PRODUCT_TO_MODEL_PHASED"]
    assert phased.stages_for({"background_id": UNKNOWN_ENTRY}) == phased.stages
    skipped = {*phased.stages} - {*phased.stages_for({"model_id": UNKNOWN_ENTRY})}
    assert [stage.name for stage in skipped] == [StageName.GENERATE_MODEL]


@pytest.mark.parametrize("workflow", WORKFLOWS.values(), ids=lambda each: each.name)
def test_no_other_stage_is_ever_skipped(workflow: Any) -> None:
    everything = {name: "x" for image in workflow.further_images for name in image.ways}
    skipped = {*workflow.stages} - {*workflow.stages_for(everything)}
    assert {stage.name for stage in skipped} <= {StageName.GENERATE_MODEL}


def test_an_optional_file_cannot_be_an_input_of_every_job() -> None:
    look = WORKFLOWS["LOOK"]
    stages = [
        msgspec.structs.replace(
            stage, inputs=(*stage.inputs, *stage.optional_inputs), optional_inputs=()
        )
        for stage in look.stages
    ]
    with pytest.raises(ValueError, match="reads garment_3, garment_4"):
        msgspec.structs.replace(look, stages=tuple(stages))


def test_a_stage_reads_the_optional_files_that_the_job_has() -> None:
    stage = next(each for each in WORKFLOWS["LOOK"].stages if each.name is StageName.LOOK)
    files = {"product", "garment_2", "garment_4", "person", "source"}
    assert stage.inputs_among(files) == ["product", "garment_2", "person", "garment_4"]


def test_prices_and_names_are_those_of_the_api_that_pages_know() -> None:
    prices = {workflow.name: workflow.credits_cost for workflow in WORKFLOWS.values()}
    assert prices == {
        "catalog-image": 1,
        "try-on": 10,
        "extract": 1,
        "look": 10,
        **dict.fromkeys(("product-to-model-direct", "product-to-model-phased"), 10),
        **dict.fromkeys(
            ("model-generator", "background-generator", "complementary-garment-generator"), 5
        ),
        **dict.fromkeys(
            ("background-swap-with-image", "background-swap-with-spec", "model-swap-with-image"), 5
        ),
    }


@pytest.mark.parametrize("text", ["x" * 301, "a\nb", "a\n", "a\0", "\u202eabc", "\u2028", "\u0085"])
def test_free_text_is_short_and_plain(text: str) -> None:
    kind = WORKFLOWS["MODEL_GENERATOR"].request
    with pytest.raises(msgspec.ValidationError, match="details"):
        msgspec.convert({"details": text}, kind)
    assert msgspec.convert({"details": "Sommersprossen, ein Lächeln — 😊"}, kind)


def test_a_model_cannot_be_younger_than_twenty() -> None:
    kind = WORKFLOWS["MODEL_GENERATOR"].request
    with pytest.raises(msgspec.ValidationError, match="age_range"):
        msgspec.convert({"age_range": "13-19"}, kind)


def test_names_on_the_wire_never_change() -> None:
    """They are stored in checkpoints, artifacts and events of jobs that are under way."""
    assert {workflow.job_type: [*map(str, names(workflow))] for workflow in WORKFLOWS.values()} == {
        "CATALOG_IMAGE": ["fetch", "validate", "segment", "compose", "encode"],
        "PRODUCT_TO_MODEL_DIRECT": ["fetch", "validate", "segment", "dress", "encode_render"],
        "BACKGROUND_SWAP_WITH_IMAGE": [
            "fetch", "validate", "segment", "swap_with_image", "encode_swap",
        ],
        "BACKGROUND_SWAP_WITH_SPEC": [
            "fetch", "validate", "segment", "swap_with_spec", "encode_swap",
        ],
        "PRODUCT_TO_MODEL_PHASED": [
            "fetch", "validate", "prepare", "segment", "generate_model", "try_on",
            "change_background", "encode_generated",
        ],
        "TRY_ON": ["fetch", "validate", "prepare", "segment", "try_on", "encode_generated"],
        "LOOK": ["fetch", "validate", "prepare", "look", "encode_generated"],
        "EXTRACT": ["fetch", "validate", "prepare", "extract", "encode_generated"],
        "MODEL_SWAP_WITH_IMAGE": ["fetch", "validate", "prepare", "swap_model", "encode_generated"],
        "MODEL_GENERATOR": ["generate_model", "encode_generated"],
        "BACKGROUND_GENERATOR": ["generate_background", "encode_generated"],
        "COMPLEMENTARY_GARMENT_GENERATOR": [
            "fetch", "validate", "prepare", "generate_garment", "encode_generated",
        ],
    }  # fmt: skip
    assert [*map(str, StageFile)] == [
        "source", "background", "mask", "cutout", "master", "product", "person",
        "garment_2", "garment_3", "garment_4", "model", "dressed",
    ]  # fmt: skip


def names(workflow: Any) -> list[StageName]:
    """The names of its stages in order."""
    return [stage.name for stage in workflow.stages]


def test_a_retired_workflow_keeps_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RETIRED, "OIL_PAINTING", "paint-in-oil")
    assert name_of("OIL_PAINTING") == "paint-in-oil"
    assert name_of("WATER_COLOUR") == "water-colour"
    assert name_of("CATALOG_IMAGE") == "catalog-image"


def test_no_workflow_is_both_offered_and_retired() -> None:
    assert not RETIRED.keys() & WORKFLOWS.keys()
    assert not {*RETIRED.values()} & {workflow.name for workflow in WORKFLOWS.values()}


@pytest.mark.parametrize("name", ["", "   ", "a\nb", "a\u202eb", "x" * 101])
def test_the_name_of_a_catalog_entry_must_be_readable(name: str) -> None:
    kind = WORKFLOWS["MODEL_GENERATOR"].request
    with pytest.raises(msgspec.ValidationError, match=r"\$\.name"):
        msgspec.convert({"name": name}, kind)
    assert msgspec.convert({"name": "Ada, studio"}, kind)
