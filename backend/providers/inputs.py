"""Which picture of a request is what, for all adapters alike."""

from backend.failures.codes import PROVIDER_INPUT_REFUSED
from backend.providers.provider import InputImage, ProviderFailed, SubmitRequest
from backend.workflows.stages import StageFile, StageName

# The order in which the prompts of `backend.workflows.prompts` count the pictures: whoever wears
# the garments comes after them, and a background last.
PICTURE_ORDER = (
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


def pictures_in_order(request: SubmitRequest) -> list[InputImage]:
    """The pictures as the prompts count them."""
    return [request.inputs[name] for name in PICTURE_ORDER if name in request.inputs]


def wearer_in(request: SubmitRequest) -> InputImage | None:
    """The person who is to wear it: a photo, or a model that an earlier stage has made."""
    return request.inputs.get(StageFile.PERSON) or request.inputs.get(StageFile.MODEL)


def required_wearer(request: SubmitRequest) -> InputImage:
    """The person, without whom there is nothing to try on."""
    if person := wearer_in(request):
        return person
    raise ProviderFailed(PROVIDER_INPUT_REFUSED.with_message("There is no photo of a person."))


def product_in(request: SubmitRequest) -> InputImage:
    """The product: its photo, or what was cut out of it."""
    for name in (StageFile.PRODUCT, StageFile.CUTOUT):
        if name in request.inputs:
            return request.inputs[name]
    raise ProviderFailed(PROVIDER_INPUT_REFUSED.with_message("There is no photo of the product."))


def aspect_ratio_in(request: SubmitRequest) -> str | None:
    """Width to height as the job asks for it, such as `4:5`; None: as the input has it."""
    params = request.params
    if request.stage is StageName.DRESS:
        return "4:5"  # that of the mannequin's pictures, which it stands in for
    if request.stage is StageName.GENERATE_MODEL:
        params = params.get("person") or params
    found = params.get("aspect_ratio")
    return found if isinstance(found, str) else None
