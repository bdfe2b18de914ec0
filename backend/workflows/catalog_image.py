"""CATALOG_IMAGE: a product photo cut out and set on a clean square, in shop-ready sizes."""

from typing import Annotated, Literal

import msgspec

from backend.workflows.registry import Stage, Workflow

HexColour = Annotated[str, msgspec.Meta(pattern="^#[0-9a-f]{6}$")]
Side = Annotated[int, msgspec.Meta(ge=256, le=4096)]


class Output(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One final picture: `size` pixels a side."""

    size: Side
    format: Literal["jpeg", "webp"]


class CatalogImage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The parameters: `margin` is the empty border as a share of the side."""

    background: HexColour = "#ffffff"
    margin: Annotated[float, msgspec.Meta(ge=0, le=0.4)] = 0.08
    outputs: Annotated[tuple[Output, ...], msgspec.Meta(min_length=1, max_length=8)] = (
        Output(size=2048, format="jpeg"),
        Output(size=1024, format="webp"),
    )


CATALOG_IMAGE = Workflow(
    name="catalog-image",
    job_type="CATALOG_IMAGE",
    parameters=CatalogImage,
    stages=(
        Stage("fetch", "Fetched the product photo"),
        Stage("validate", "Checked the photo", inputs=("source",)),
        Stage("segment", "Cut out the product", inputs=("source",)),
        Stage("compose", "Set it on its background", inputs=("cutout",)),
        Stage("encode", "Saved the catalog images", inputs=("master",)),
    ),
)
