"""What is done with pictures before a hosted provider gets them, and after it has answered."""

import msgspec

from backend.imaging.provider_images import PaintedJpeg, prepared_jpeg, received_jpeg
from backend.renderers.base import Rendered, RenderRequest
from backend.renderers.files import file_of
from backend.renderers.requests import input_of
from backend.workflows.stages import StageFile


def prepare(request: RenderRequest) -> Rendered:
    """`source` → `product`: the photo as engines outside this machine get it."""
    made = prepared_jpeg(input_of(request, StageFile.SOURCE))
    return _rendered(StageFile.PRODUCT, made, generative=False)


def normalise_output(request: RenderRequest) -> Rendered:
    """`source`, as a provider delivered it, → the file `output`.

    The facts are the header of the file as it was delivered.
    """
    return _rendered("output", received_jpeg(input_of(request, StageFile.SOURCE)), generative=True)


def _rendered(name: str, made: PaintedJpeg, *, generative: bool) -> Rendered:
    file = file_of(
        name=name,
        kind=name,
        role="intermediate",
        label=None,
        content_type="image/jpeg",
        data=made.data,
        meta={"width": made.width, "height": made.height, "generative": generative},
    )
    return Rendered(files=[file], facts=msgspec.to_builtins(made.source))
