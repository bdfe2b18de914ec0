"""A workflow that cannot work is refused when it is defined, not when its first job runs."""

from typing import Any

import msgspec
import pytest

from backend.jobs.storefront import storefront_request
from backend.workflows import RETIRED, WORKFLOWS, name_of
from backend.workflows.catalog_image import CATALOG_IMAGE
from backend.workflows.pictures import ProductPhoto
from backend.workflows.registry import by_job_type
from backend.workflows.stages import Stage, StageFile, StageName

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
    uploads = set(workflow.upload_fields)
    photo = set(ProductPhoto.__struct_fields__)
    for kind, others in (
        (workflow.request, photo | uploads),
        (workflow.without_photo, uploads),
        (storefront_request(workflow), {"product_id"}),
    ):
        fields = {each.name: each for each in msgspec.structs.fields(kind)}
        assert fields.keys() == own.keys() | others
        assert {name: fields[name] for name in own} == own
        assert kind.__struct_config__.forbid_unknown_fields


def test_an_upload_that_a_workflow_needs_is_required() -> None:
    kind = WORKFLOWS["BACKGROUND_SWAP_WITH_IMAGE"].request
    with pytest.raises(msgspec.ValidationError, match="background_upload_key"):
        msgspec.convert({"product_id": "gid://shopify/Product/1"}, kind)


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
    }  # fmt: skip
    assert [*map(str, StageFile)] == ["source", "background", "mask", "cutout", "master"]


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
