"""What a stage asks for in words, for models that are told in words what to make.

The merchant's own words come last, as wishes: what is shown of the product is not theirs to change.
"""

from typing import Any

from backend.providers.provider import InputImage, SubmitRequest
from backend.workflows.stages import StageFile, StageName

MAX_WORDS = 2000  # characters of what the merchant has asked for
# How the parts of a picture must stay, for every stage that shows a product.
TRUE_TO_PRODUCT = (
    "Keep the product exactly as it is: colour, cut, proportions, fabric, print, text and logos."
)
INSTRUCTIONS: dict[StageName, str] = {
    StageName.DRESS: "Show the product of the first picture worn by a person, as a photograph for "
    f"a shop: the whole product, seen from the front, in even studio light. {TRUE_TO_PRODUCT}",
    StageName.TRY_ON: "Dress the person of the second picture in the product of the first. Keep "
    f"the person's face, hair, body, pose and the background. {TRUE_TO_PRODUCT}",
    StageName.SWAP_MODEL: "Replace the person of the first picture with the person of the second. "
    f"Keep pose, light and background of the first. {TRUE_TO_PRODUCT}",
    StageName.EXTRACT: "Show the product of the picture alone, whole and from the front, without "
    f"the person who wears it, on a plain white background. {TRUE_TO_PRODUCT}",
    StageName.LOOK: "Show one outfit of all the garments in these pictures, worn by {wearer}, as a "
    f"photograph for a shop, the whole outfit from the front. {TRUE_TO_PRODUCT}",
    StageName.GENERATE_MODEL: "A photograph of a fashion model who does not exist, standing, whole "
    "and from the front, in plain close-fitting clothes, in even light on a plain background.",
    StageName.GENERATE_BACKGROUND: "A photograph of an empty place as a background for product "
    "photos: no people, no products, no text, with room in the middle.",
    StageName.GENERATE_GARMENT: "A photograph of one garment that goes well with the product of "
    "the picture, alone, whole and from the front, on a plain white background.",
    StageName.CHANGE_BACKGROUND: "Replace the background of the first picture{place}. Keep the "
    f"person, the pose and everything they wear. {TRUE_TO_PRODUCT}",
}
# In the order in which the instructions speak of them.
INPUT_ORDER = (
    StageFile.DRESSED,
    StageFile.PRODUCT,
    StageFile.CUTOUT,
    StageFile.GARMENT_2,
    StageFile.GARMENT_3,
    StageFile.GARMENT_4,
    StageFile.PERSON,
    StageFile.MODEL,
    StageFile.BACKGROUND,
)
# Parameters that are not words for the model.
NOT_WORDS = frozenset(
    {"prompt", "seed", "outputs", "aspect_ratio", "resolution", "name", "padding"}
)
NOT_WORDS_SUFFIXES = ("_id", "_key", "_url")


def instruction(request: SubmitRequest) -> str:
    """The stage's instruction, with what the job's parameters say of it."""
    has_person = any(each in request.inputs for each in (StageFile.PERSON, StageFile.MODEL))
    text = INSTRUCTIONS[request.stage].format(
        wearer="the person of the last picture" if has_person else "a person",
        place=" with the place of the last picture" if has_background(request) else "",
    )
    return f"{text} {words}" if (words := wishes(request.params)) else text


def wishes(params: dict[str, Any]) -> str:
    """What the merchant has asked for: the choices by their names, then the words."""
    choices = "; ".join(
        f"{name.replace('_', ' ')}: {value}"
        for name, value in params.items()
        if isinstance(value, str | int | float)
        and value != ""
        and not isinstance(value, bool)
        and name not in NOT_WORDS
        and not name.endswith(NOT_WORDS_SUFFIXES)
    )
    prompt = " ".join(str(params.get("prompt") or "").split())
    parts = (f"Wanted: {choices}." if choices else "", prompt)
    return " ".join(part for part in parts if part)[:MAX_WORDS]


def ordered_inputs(request: SubmitRequest) -> list[InputImage]:
    """The pictures, in the order in which the instructions speak of them."""
    return [request.inputs[name] for name in INPUT_ORDER if name in request.inputs]


def has_background(request: SubmitRequest) -> bool:
    """Whether the place is shown in a picture of its own."""
    return StageFile.BACKGROUND in request.inputs


def person_of(request: SubmitRequest) -> InputImage | None:
    """The person who is to wear it: a photo, or a model that an earlier stage has made."""
    return request.inputs.get(StageFile.PERSON) or request.inputs.get(StageFile.MODEL)


def product_of(request: SubmitRequest) -> InputImage:
    """The product: its photo, or what was cut out of it."""
    found = request.inputs.get(StageFile.PRODUCT) or request.inputs.get(StageFile.CUTOUT)
    return found or ordered_inputs(request)[0]
