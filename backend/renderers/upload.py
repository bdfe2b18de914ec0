"""What happens to a merchant's file before it is kept: normalise."""

import msgspec

from backend.imaging.normalise import normalise
from backend.renderers.base import Rendered, RenderRequest
from backend.renderers.files import file_of, input_of


def normalise_upload(request: RenderRequest) -> Rendered:
    """`source` → the file `upload`: the same picture with nothing in it but pixels.

    The facts are what the header of the file as sent said.
    """
    made = normalise(input_of(request, "source"))
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
