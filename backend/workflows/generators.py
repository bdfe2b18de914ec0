"""The workflows that fill the catalog: models, backgrounds and complementary garments."""

from typing import Annotated, Literal

import msgspec

from backend.workflows.garments import CategoryName
from backend.workflows.generated import ENCODE, PREPARE, VALIDATE, Generated, fetch
from backend.workflows.people import InventedPerson, PersonDetails
from backend.workflows.pictures import (
    JPEG_AND_WEBP,
    READABLE_TEXT,
    AspectRatio,
    FreeText,
    HexColour,
    Outputs,
    Seed,
)
from backend.workflows.registry import Workflow
from backend.workflows.scenes import InventedScene
from backend.workflows.stages import Stage, StageFile, StageName

EntryTitle = Annotated[
    str,
    msgspec.Meta(
        min_length=1,
        max_length=100,
        pattern=READABLE_TEXT,
        description="The name of the catalog entry.",
    ),
]
Details = Annotated[FreeText, msgspec.Meta(description="What else matters, in your words.")]


class ModelGenerator(InventedPerson, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model for the catalog: a person who does not exist, in plain clothes.

    People are adults. A description of a real person does not give a picture of them.
    """

    details: PersonDetails = ""
    name: EntryTitle | None = None
    seed: Seed | None = None
    outputs: Outputs = JPEG_AND_WEBP


class BackgroundGenerator(InventedScene, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A background for the catalog, without people or products."""

    aspect_ratio: AspectRatio = "4:5"
    details: Details = ""
    name: EntryTitle | None = None
    seed: Seed | None = None
    outputs: Outputs = JPEG_AND_WEBP


class ComplementaryGarmentGenerator(
    Generated, frozen=True, kw_only=True, forbid_unknown_fields=True
):
    """A garment for the catalog that goes well with the product in the photo."""

    category: Annotated[CategoryName, msgspec.Meta(description="What to make.")]
    style: Literal["casual", "business", "evening", "sporty", "street"] = "casual"
    color: HexColour | None = None
    details: Details = ""
    name: EntryTitle | None = None


MODEL_GENERATOR = Workflow(
    name="model-generator",
    job_type="MODEL_GENERATOR",
    summary="Make a model for the catalog: a person who does not exist",
    op_class="generate",
    credits_cost=5,
    parameters=ModelGenerator,
    has_photo=False,
    for_many_products=False,
    stages=(
        Stage(StageName.GENERATE_MODEL, "Made the model", outputs=(StageFile.MASTER,)),
        ENCODE,
    ),
)
BACKGROUND_GENERATOR = Workflow(
    name="background-generator",
    job_type="BACKGROUND_GENERATOR",
    summary="Make a background for the catalog",
    op_class="generate",
    credits_cost=5,
    parameters=BackgroundGenerator,
    has_photo=False,
    for_many_products=False,
    stages=(
        Stage(StageName.GENERATE_BACKGROUND, "Made the background", outputs=(StageFile.MASTER,)),
        ENCODE,
    ),
)
COMPLEMENTARY_GARMENT_GENERATOR = Workflow(
    name="complementary-garment-generator",
    job_type="COMPLEMENTARY_GARMENT_GENERATOR",
    summary="Make a garment for the catalog that goes with the product",
    op_class="generate",
    credits_cost=5,
    parameters=ComplementaryGarmentGenerator,
    for_many_products=False,
    stages=(
        fetch(),
        VALIDATE,
        PREPARE,
        Stage(
            StageName.GENERATE_GARMENT,
            "Made the garment",
            inputs=(StageFile.PRODUCT,),
            outputs=(StageFile.MASTER,),
        ),
        ENCODE,
    ),
)
