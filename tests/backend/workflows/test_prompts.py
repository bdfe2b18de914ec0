"""Every engine gets the same words, and the rules about people are always among them."""

from typing import Any

import msgspec
import pytest

from backend.providers.engines import NOT_CHOSEN
from backend.renderers.local import LOCAL_STAGES
from backend.workflows import BY_NAME, WORKFLOWS
from backend.workflows.prompts import ADULT, FRAMINGS, KEEP_GARMENT, PLACES, POSES, prompt_of
from backend.workflows.stages import StageFile, StageName
from tests.minimal_requests import MINIMAL_PARAMETERS

PIXEL_STAGES = {StageName.PREPARE, StageName.ENCODE_GENERATED}  # made on this machine alone
HOSTED = set(StageName) - NOT_CHOSEN - LOCAL_STAGES - PIXEL_STAGES | {StageName.DRESS}


def parameters(name: str, **chosen: Any) -> dict[str, Any]:
    """The parameters of that workflow as a job stores them."""
    kind = BY_NAME[name].parameters
    given = {**MINIMAL_PARAMETERS[name], **chosen}
    known = {field: given[field] for field in kind.__struct_fields__ if field in given}
    stored: dict[str, Any] = msgspec.to_builtins(msgspec.convert(known, kind))
    return {field: value for field, value in stored.items() if value is not None}


@pytest.mark.parametrize("workflow", WORKFLOWS.values(), ids=lambda each: each.name)
def test_every_stage_that_a_hosted_engine_makes_has_a_prompt(workflow: Any) -> None:
    for stage in workflow.stages:
        if stage.name in HOSTED:
            assert prompt_of(stage.name, parameters(workflow.name))


@pytest.mark.parametrize("name", ["model-generator", "product-to-model-phased"])
def test_a_model_is_an_invented_adult_whatever_the_merchant_writes(name: str) -> None:
    for chosen in ({}, {"details": "A 12-year-old."}):
        assert ADULT in prompt_of(StageName.GENERATE_MODEL, parameters(name) | chosen)


def test_a_model_is_described_as_it_was_asked_for() -> None:
    chosen = {"body": "male", "age_range": "60-75", "skin_tone": "very_dark", "hair": "tied_back"}
    prompt = prompt_of(StageName.GENERATE_MODEL, parameters("model-generator", **chosen))
    assert "A male model, 60 to 75 years old, with very dark skin, tied back hair" in prompt
    nested = parameters("product-to-model-phased", person=chosen)
    assert prompt_of(StageName.GENERATE_MODEL, nested) == prompt


def test_the_merchants_words_become_one_sentence() -> None:
    asked = parameters("background-generator", details="  A window on the  left. ")
    assert " A window on the left. No people" in prompt_of(StageName.GENERATE_BACKGROUND, asked)


@pytest.mark.parametrize(
    ("name", "stage"),
    [
        ("try-on", StageName.TRY_ON),
        ("product-to-model-direct", StageName.DRESS),
        ("look", StageName.LOOK),
        ("extract", StageName.EXTRACT),
        ("model-swap-with-image", StageName.SWAP_MODEL),
    ],
)
def test_the_garment_stays_as_it_is(name: str, stage: StageName) -> None:
    assert KEEP_GARMENT in prompt_of(stage, parameters(name))


def test_a_category_is_called_by_its_noun() -> None:
    prompt = prompt_of(StageName.TRY_ON, parameters("try-on", category="outerwear"))
    assert "in the jacket or coat of the first image" in prompt
    assert "in the garment of the first" in prompt_of(StageName.TRY_ON, parameters("try-on"))


def test_a_background_of_the_merchants_replaces_the_scene() -> None:
    asked = parameters("product-to-model-phased", scene={"place": "beach"})
    invented = prompt_of(StageName.CHANGE_BACKGROUND, asked, {StageFile.DRESSED})
    assert "A beach, soft, even light." in invented
    given = prompt_of(StageName.CHANGE_BACKGROUND, asked, {StageFile.DRESSED, StageFile.BACKGROUND})
    assert "the place of the second image" in given
    assert "beach" not in given


@pytest.mark.parametrize(
    ("field", "words"), [("pose", POSES), ("framing", FRAMINGS), ("place", PLACES)]
)
def test_every_choice_has_its_words(field: str, words: dict[str, str]) -> None:
    name = "background-generator" if field == "place" else "model-generator"
    schema = msgspec.json.schema(BY_NAME[name].parameters)["$defs"]
    [properties] = [each["properties"] for each in schema.values() if field in each["properties"]]
    assert sorted(properties[field]["enum"]) == sorted(words)


def test_a_stage_without_words_has_no_prompt() -> None:
    with pytest.raises(KeyError):
        prompt_of(StageName.SEGMENT, {})
