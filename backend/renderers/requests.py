"""How the local engine's stages read their request. What is wrong with it is a `RenderFailed`.

The worker sends all of the job's parameters and earlier facts to every stage.
"""

from typing import TypeVar

import msgspec

from backend.failures.codes import RENDER_REQUEST_INVALID
from backend.imaging.source_type import DigitalSourceType
from backend.renderers.base import RenderFailed, RenderRequest
from backend.workflows import WORKFLOWS
from backend.workflows.pictures import Outputs
from backend.workflows.stages import StageName

T = TypeVar("T", bound=msgspec.Struct)


class PhotoFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Of what `validate` answers: what each photo declares about generative models."""

    digital_source_type: DigitalSourceType | None = None
    background: "PhotoFacts | None" = None
    person: "PhotoFacts | None" = None
    model: "PhotoFacts | None" = None


def input_of(request: RenderRequest, name: str) -> bytes:
    """The request's file of that name."""
    if name not in request.inputs:
        raise bad_render_request(f"{request.stage!r} needs the file {name!r}")
    return request.inputs[name]


def job_parameters(request: RenderRequest, kind: type[T]) -> T:
    """The job's parameters, decoded into its workflow's own struct, a subclass of `kind`."""
    workflow = WORKFLOWS.get(request.job_type)
    if workflow is None:
        raise bad_render_request(f"there is no workflow {request.job_type!r}")
    if not issubclass(workflow.parameters, kind):
        raise bad_render_request(f"{request.stage!r} is no stage of {workflow.name}")
    return msgspec.convert(request.params, workflow.parameters)


def job_outputs(request: RenderRequest) -> Outputs:
    """The output images that the job asks for, whatever its workflow."""
    parameters = job_parameters(request, msgspec.Struct)
    if "outputs" not in parameters.__struct_fields__:
        raise bad_render_request(f"jobs of type {request.job_type!r} have no outputs")
    outputs: Outputs = parameters.outputs  # type: ignore[attr-defined]
    return outputs


def earlier_facts(request: RenderRequest, stage: StageName, kind: type[T]) -> T | None:
    """What an earlier stage answered; None if that stage is not known to have run."""
    return msgspec.convert(request.facts[stage], kind) if stage in request.facts else None


def declared_types(request: RenderRequest) -> tuple[DigitalSourceType | None, ...]:
    """What the product's photo declares, and the background if there is one."""
    photo = earlier_facts(request, StageName.VALIDATE, PhotoFacts) or PhotoFacts()
    background = photo.background or PhotoFacts()
    return photo.digital_source_type, background.digital_source_type


def bad_render_request(why: str) -> RenderFailed:
    """The caller's mistake rather than the image's."""
    message = f"The image was not processed: {why}."
    return RenderFailed(RENDER_REQUEST_INVALID.with_message(message))
