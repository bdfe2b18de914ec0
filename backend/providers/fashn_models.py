"""FASHN's models: which makes which stage, and what each is sent for it.

The fields are those of FASHN's Python SDK 0.9.0 and of docs.fashn.ai, read on 2026-11-29.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from backend.providers.inputs import aspect_ratio_in, product_in, required_wearer, wearer_in
from backend.providers.provider import InputImage, SubmitRequest
from backend.workflows.prompts import prompt_of
from backend.workflows.stages import StageFile, StageName

# The kinds that `tryon-v1.6` tells apart; it finds the kind of all others by itself.
TRYON_CATEGORIES = {
    "top": "tops",
    "outerwear": "tops",
    "bottom": "bottoms",
    "dress": "one-pieces",
    "one_piece": "one-pieces",
}

Send = Callable[[InputImage], str]


class FashnModel(msgspec.Struct, frozen=True, kw_only=True):
    """One of FASHN's models: the stages it can make, and what it is sent for one."""

    stages: frozenset[StageName]
    inputs: Callable[[SubmitRequest, Send], dict[str, Any]]


def product_to_model(request: SubmitRequest, send: Send) -> dict[str, Any]:
    """A new person in the product, or the one who is given."""
    inputs = {"product_image": send(product_in(request))}
    if person := wearer_in(request):
        return inputs | {"model_image": send(person)}
    return inputs | {"prompt": fashn_prompt(request)} | shape(request)


def tryon_fast(request: SubmitRequest, send: Send) -> dict[str, Any]:
    """The fast model, for garments."""
    return {
        "garment_image": send(product_in(request)),
        "model_image": send(required_wearer(request)),
        "category": TRYON_CATEGORIES.get(request.params.get("category") or "", "auto"),
    }


def tryon_max(request: SubmitRequest, send: Send) -> dict[str, Any]:
    """The slow model, for everything that is worn."""
    images = {
        "product_image": send(product_in(request)),
        "model_image": send(required_wearer(request)),
    }
    return images | shape(request)


def model_swap(request: SubmitRequest, send: Send) -> dict[str, Any]:
    """Another person in the same clothes: the one whose face is given."""
    images = {
        "model_image": send(product_in(request)),
        "face_reference": send(required_wearer(request)),
    }
    return images | shape(request)


def packshot(request: SubmitRequest, send: Send) -> dict[str, Any]:
    """The product by itself."""
    inputs = {"product_image": send(product_in(request)), "prompt": fashn_prompt(request)}
    return inputs | shape(request)


def model_create(request: SubmitRequest, _send: Send) -> dict[str, Any]:
    """A person who does not exist."""
    return {"prompt": fashn_prompt(request)} | shape(request)


def edit(request: SubmitRequest, send: Send) -> dict[str, Any]:
    """Another background."""
    background = request.inputs.get(StageFile.BACKGROUND)
    context = {"image_context": send(background)} if background else {}
    image = send(request.inputs[StageFile.DRESSED])
    return {"image": image, "prompt": fashn_prompt(request)} | context | shape(request)


def shape(request: SubmitRequest) -> dict[str, Any]:
    """The picture's aspect ratio, where the job says one."""
    ratio = aspect_ratio_in(request)
    return {"aspect_ratio": ratio} if ratio else {}


def fashn_prompt(request: SubmitRequest) -> str:
    """The stage in words."""
    return prompt_of(request.stage, request.params, request.inputs)


FASHN_MODELS: dict[str, FashnModel] = {
    "tryon-v1.6": FashnModel(stages=frozenset({StageName.TRY_ON}), inputs=tryon_fast),
    "tryon-max": FashnModel(stages=frozenset({StageName.TRY_ON}), inputs=tryon_max),
    "product-to-model": FashnModel(
        stages=frozenset({StageName.DRESS, StageName.TRY_ON}), inputs=product_to_model
    ),
    "model-swap": FashnModel(stages=frozenset({StageName.SWAP_MODEL}), inputs=model_swap),
    "packshot": FashnModel(stages=frozenset({StageName.EXTRACT}), inputs=packshot),
    "model-create": FashnModel(stages=frozenset({StageName.GENERATE_MODEL}), inputs=model_create),
    "edit": FashnModel(stages=frozenset({StageName.CHANGE_BACKGROUND}), inputs=edit),
}
FASHN_DEFAULTS: dict[StageName, str] = {
    StageName.DRESS: "product-to-model",
    StageName.TRY_ON: "tryon-v1.6",
    StageName.SWAP_MODEL: "model-swap",
    StageName.EXTRACT: "packshot",
    StageName.GENERATE_MODEL: "model-create",
    StageName.CHANGE_BACKGROUND: "edit",
}
