"""FASHN's models: which makes which stage, and what each is sent for it.

The fields are those of FASHN's Python SDK 0.9.0 and of docs.fashn.ai, read on 2026-11-29.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from backend.failures.codes import PROVIDER_INPUT_REFUSED
from backend.providers.instructions import instruction, person_of, product_of, wishes
from backend.providers.provider import InputImage, ProviderFailed, SubmitRequest
from backend.workflows.stages import StageFile, StageName

CATEGORIES = {"top": "tops", "bottom": "bottoms", "dress": "one-pieces"}
SHAPE_PARAMETERS = ("aspect_ratio", "resolution")
DRESS_SHAPE = {"aspect_ratio": "4:5"}  # that of the mannequin's pictures, which it stands in for
Send = Callable[[InputImage], str]


class FashnModel(msgspec.Struct, frozen=True, kw_only=True):
    """One of FASHN's models: the stages it can make, and what it is sent for one."""

    stages: frozenset[StageName]
    inputs: Callable[[SubmitRequest, Send], dict[str, Any]]


def product_to_model(request: SubmitRequest, send: Send) -> dict[str, Any]:
    """A new person in the product, or the one who is given."""
    inputs = {"product_image": send(product_of(request)), "prompt": wishes(request.params)}
    if person := person_of(request):
        return inputs | {"model_image": send(person)}
    return inputs | shape(request)


def tryon_fast(request: SubmitRequest, send: Send) -> dict[str, Any]:
    """The fast model, for garments."""
    return {
        "garment_image": send(product_of(request)),
        "model_image": send(required_person(request)),
        "category": CATEGORIES.get(str(request.params.get("category")), "auto"),
    }


def tryon_max(request: SubmitRequest, send: Send) -> dict[str, Any]:
    """The slow model, for everything that is worn."""
    return {
        "product_image": send(product_of(request)),
        "model_image": send(required_person(request)),
        "prompt": wishes(request.params),
    } | shape(request)


def model_swap(request: SubmitRequest, send: Send) -> dict[str, Any]:
    """Another person in the same clothes: the one whose face is given, or one in words."""
    inputs = {"model_image": send(product_of(request)), "prompt": wishes(request.params)}
    person = person_of(request)
    return inputs | ({"face_reference": send(person)} if person else {}) | shape(request)


def packshot(request: SubmitRequest, send: Send) -> dict[str, Any]:
    """The product alone."""
    return {"product_image": send(product_of(request)), "prompt": wishes(request.params)} | shape(
        request
    )


def model_create(request: SubmitRequest, _send: Send) -> dict[str, Any]:
    """A person who does not exist."""
    return {"prompt": instruction(request)} | shape(request)


def edit(request: SubmitRequest, send: Send) -> dict[str, Any]:
    """Another background."""
    image = request.inputs.get(StageFile.DRESSED) or product_of(request)
    background = request.inputs.get(StageFile.BACKGROUND)
    context = {"image_context": send(background)} if background else {}
    return {"image": send(image), "prompt": instruction(request)} | context | shape(request)


def shape(request: SubmitRequest) -> dict[str, Any]:
    """The job's parameters that the newer models take under the same names."""
    defaults = DRESS_SHAPE if request.stage is StageName.DRESS else {}
    params = request.params
    return defaults | {name: params[name] for name in SHAPE_PARAMETERS if params.get(name)}


def required_person(request: SubmitRequest) -> InputImage:
    """The person, without whom there is nothing to try on."""
    if person := person_of(request):
        return person
    raise ProviderFailed(PROVIDER_INPUT_REFUSED.with_message("There is no photo of a person."))


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
