"""What is done with a merchant's file before it is stored: normalise."""

import msgspec

from backend.imaging.normalise import normalise
from backend.renderers.base import Rendered, RenderRequest
from backend.renderers.files import file_of
from backend.renderers.requests import input_of
from backend.workflows.stages import StageFile


def normalise_upload(request: RenderRequest) -> Rendered:
    """`source` → the file `upload`: the same picture, with nothing in the file but its pixels.

    The facts are the header of the file as it was sent.
    """
    made = normalise(input_of(request, StageFile.SOURCE))
    upload = file_of(
        name="upload",
        kind="upload",
        role="intermediate",
        label=None,
        content_type=made.content_type,
        data=made.data,
        meta={"width": made.width, "height": made.height},
    )
    return Rendered(files=[upload], facts=msgspec.to_builtins(made.source))
