"""fal's endpoints: which makes which stage, and what each is sent for it.

Two kinds of input cover them. FASHN's try-on has fields of its own; all others are sent a prompt
and a list of pictures, as Google's image models and many editing models on fal take them. Another
kind of endpoint needs a function here. Read on 2026-11-29: fal.ai/models/<endpoint>/llms.txt for
`fal-ai/fashn/tryon/v1.6` and `fal-ai/nano-banana-2`, and `…/nano-banana/edit` for its inputs.
"""

import re
from typing import Any

from backend.providers.account import ProviderAccount
from backend.providers.fal_requests import with_reference
from backend.providers.fashn_models import tryon_fast
from backend.providers.inputs import aspect_ratio_in, pictures_in_order
from backend.providers.provider import InputImage, SubmitRequest
from backend.workflows.prompts import prompt_of
from backend.workflows.stages import StageName

FASHN_TRYON = "fal-ai/fashn/tryon/"
_EDIT, _GENERATE = "fal-ai/nano-banana-2/edit", "fal-ai/nano-banana-2"
FAL_DEFAULTS: dict[StageName, str] = {
    StageName.TRY_ON: f"{FASHN_TRYON}v1.6",
    StageName.DRESS: _EDIT,
    StageName.SWAP_MODEL: _EDIT,
    StageName.EXTRACT: _EDIT,
    StageName.LOOK: _EDIT,
    StageName.CHANGE_BACKGROUND: _EDIT,
    StageName.GENERATE_GARMENT: _EDIT,
    StageName.GENERATE_MODEL: _GENERATE,
    StageName.GENERATE_BACKGROUND: _GENERATE,
}
ENDPOINT = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)+", re.ASCII)


def fal_inputs(request: SubmitRequest, account: ProviderAccount) -> dict[str, Any]:
    """What the stage's endpoint is sent."""

    def send(image: InputImage) -> str:
        return with_reference(account.send(image), request.reference)

    if account.models[request.stage].startswith(FASHN_TRYON):
        return tryon_fast(request, send) | {"seed": request.seed, "output_format": "png"}
    inputs: dict[str, Any] = {
        "prompt": prompt_of(request.stage, request.params, request.inputs),
        "seed": request.seed,
        "num_images": 1,
        "output_format": "png",
    }
    if pictures := pictures_in_order(request):
        inputs["image_urls"] = [send(each) for each in pictures]
    if ratio := aspect_ratio_in(request):
        inputs["aspect_ratio"] = ratio
    return inputs


def is_endpoint(name: str) -> bool:
    """Whether it can be an endpoint's id, such as `fal-ai/nano-banana-2/edit`."""
    return ENDPOINT.fullmatch(name) is not None


def app_of(endpoint: str) -> str:
    """Owner and app, without the path behind them: what the queue's other URLs begin with."""
    return "/".join(endpoint.split("/")[:2])
