"""The models that the stand-in knows, with the inputs that each takes, as the providers list them.

FASHN's: the types of its Python SDK 0.9.0 (2026-05). fal's: the models' API pages, 2026-11. An
input that is not listed is refused: the real ones ignore some, and then a typo changes nothing.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec

DrawnKind = Literal["worn", "person", "product", "scene", "edit"]
"""What is drawn: a worn garment, a person, a garment alone, a background, a changed photo."""

Ratio = Literal["21:9", "1:1", "4:3", "3:2", "2:3", "5:4", "4:5", "3:4", "16:9", "9:16"]
Resolution = Literal["1k", "2k", "4k"]
Samples = Annotated[int, msgspec.Meta(ge=1, le=4)]
SeedNumber = Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)]
FashnFormat = Literal["png", "jpeg"]
FalFormat = Literal["png", "jpeg", "webp"]

IMAGE_FIELDS = frozenset(
    {
        *("model_image", "garment_image", "product_image", "face_image", "image", "image_prompt"),
        *("image_context", "image_reference", "face_reference", "mask", "end_image"),
        *("image_url", "image_urls", "ref_image_url", "mask_url"),
    }
)


class ModelInputs(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The inputs of one model; `convert` refuses others, and values out of their bounds."""


class FashnInputs(ModelInputs, kw_only=True):
    """What FASHN's models have in common."""

    seed: SeedNumber = 42
    output_format: FashnFormat = "png"
    return_base64: bool = False


class TryOnInputs(FashnInputs, kw_only=True):
    """Tryon-v1.6."""

    model_image: str
    garment_image: str
    category: Literal["auto", "tops", "bottoms", "one-pieces"] = "auto"
    garment_photo_type: Literal["auto", "flat-lay", "model"] = "auto"
    mode: Literal["performance", "balanced", "quality"] = "balanced"
    moderation_level: Literal["conservative", "permissive", "none"] = "permissive"
    num_samples: Samples = 1
    segmentation_free: bool = True


class Prompted(FashnInputs, kw_only=True):
    """What the newer models have in common."""

    prompt: str = ""
    resolution: Resolution = "1k"
    aspect_ratio: Ratio | None = None
    generation_mode: Literal["fast", "balanced", "quality"] = "balanced"
    num_images: Samples = 1


class TryOnMax(Prompted, kw_only=True):
    """Tryon-max."""

    model_image: str
    product_image: str
    generation_mode: Literal["balanced", "quality"] = "balanced"


class ProductToModel(Prompted, kw_only=True):
    """Product-to-model."""

    product_image: str
    model_image: str = ""
    image_prompt: str = ""


class FaceToModel(Prompted, kw_only=True):
    """Face-to-model."""

    face_image: str


class ModelCreate(Prompted, kw_only=True):
    """Model-create."""

    prompt: str
    face_reference: str = ""
    face_reference_mode: Literal["match_base", "match_reference"] = "match_base"
    image_reference: str = ""


class ModelSwap(Prompted, kw_only=True):
    """Model-swap."""

    model_image: str
    face_reference: str = ""
    face_reference_mode: Literal["match_base", "match_reference"] = "match_base"


class BackgroundChange(FashnInputs, kw_only=True):
    """Background-change."""

    image: str
    prompt: str
    resolution: Resolution = "1k"
    generation_mode: Literal["fast", "balanced", "quality"] = "balanced"
    num_images: Samples = 1


class BackgroundRemove(ModelInputs, kw_only=True):
    """Background-remove."""

    image: str
    return_base64: bool = False


class Edit(Prompted, kw_only=True):
    """Edit."""

    image: str
    prompt: str
    image_context: str = ""
    mask: str = ""


class Packshot(Prompted, kw_only=True):
    """Packshot."""

    product_image: str
    image_context: str = ""


class FalInputs(ModelInputs, kw_only=True):
    """What fal's image models have in common."""

    sync_mode: bool = False
    seed: SeedNumber | None = None
    output_format: FalFormat = "png"


class FalTryOn(FalInputs, kw_only=True):
    """Its FASHN try-on."""

    model_image: str
    garment_image: str
    category: Literal["auto", "tops", "bottoms", "one-pieces"] = "auto"
    garment_photo_type: Literal["auto", "flat-lay", "model"] = "auto"
    mode: Literal["performance", "balanced", "quality"] = "balanced"
    moderation_level: Literal["conservative", "permissive", "none"] = "permissive"
    num_samples: Samples = 1
    segmentation_free: bool = True
    output_format: FashnFormat = "png"


class FalTextToImage(FalInputs, kw_only=True):
    """Nano-banana, FLUX and the like, from a prompt alone."""

    prompt: Annotated[str, msgspec.Meta(min_length=3, max_length=50_000)]
    num_images: Samples = 1
    aspect_ratio: str | None = None
    image_size: str | dict[str, int] | None = None
    num_inference_steps: int | None = None
    guidance_scale: float | None = None
    enable_safety_checker: bool = True
    safety_tolerance: str | None = None
    resolution: str | None = None
    limit_generations: bool = False
    enable_web_search: bool = False


class FalEdit(FalTextToImage, kw_only=True):
    """Nano-banana's `edit` and the like: photos and a prompt."""

    image_urls: Annotated[list[str], msgspec.Meta(min_length=1, max_length=10)]


class FalOneImage(FalInputs, kw_only=True):
    """Models that work on one photo: backgrounds, upscaling."""

    image_url: str
    prompt: str = ""
    ref_image_url: str = ""
    negative_prompt: str = ""
    num_images: Samples = 1


@dataclass(frozen=True, slots=True)
class HostedModel:
    """A model: its name there, what it takes, what is drawn for it, and its price per picture.

    `unit_price` is in credits at FASHN, and in USD at fal.
    """

    name: str
    inputs: type[ModelInputs]
    kind: DrawnKind
    unit_price: float
    single_image: bool = False
    """fal's answer has `image`, not `images`."""


SERVED_FASHN_MODELS = {
    each.name: each
    for each in (
        HostedModel("tryon-v1.6", TryOnInputs, "worn", 1),
        HostedModel("tryon-max", TryOnMax, "worn", 4),
        HostedModel("product-to-model", ProductToModel, "worn", 1),
        HostedModel("face-to-model", FaceToModel, "person", 1),
        HostedModel("model-create", ModelCreate, "person", 1),
        HostedModel("model-swap", ModelSwap, "edit", 1),
        HostedModel("background-change", BackgroundChange, "edit", 1),
        HostedModel("background-remove", BackgroundRemove, "product", 1),
        HostedModel("edit", Edit, "edit", 1),
        HostedModel("packshot", Packshot, "product", 1),
    )
}
SERVED_FAL_MODELS = {
    each.name: each
    for each in (
        HostedModel("fal-ai/fashn/tryon/v1.6", FalTryOn, "worn", 0.075),
        HostedModel("fal-ai/nano-banana", FalTextToImage, "person", 0.039),
        HostedModel("fal-ai/nano-banana/edit", FalEdit, "worn", 0.039),
        HostedModel("fal-ai/nano-banana-2", FalTextToImage, "person", 0.08),
        HostedModel("fal-ai/nano-banana-2/edit", FalEdit, "worn", 0.08),
        HostedModel("fal-ai/flux/dev", FalTextToImage, "scene", 0.025),
        HostedModel("fal-ai/bria/background/remove", FalOneImage, "product", 0.018, True),
        HostedModel("fal-ai/bria/background/replace", FalOneImage, "edit", 0.023),
        HostedModel("fal-ai/birefnet/v2", FalOneImage, "product", 0.0, True),
    )
}


def images_in(inputs: dict[str, object]) -> dict[str, list[str]]:
    """The inputs that name images, each with its URLs or data URIs."""
    found = {}
    for name, value in inputs.items():
        if name in IMAGE_FIELDS and value:
            found[name] = [str(each) for each in value] if isinstance(value, list) else [str(value)]
    return found
