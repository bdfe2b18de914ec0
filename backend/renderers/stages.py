"""The stages by name, as the child runs them: bytes in, files and facts out.

Each is one call, since the worker keeps the files between them. A stage takes from `params` what
it knows and ignores the rest: the worker sends all of the job's parameters to every stage.
"""

from collections.abc import Callable

import msgspec

from backend.imaging.decode import ImageRefused, harden_libvips
from backend.renderers import background_swap, catalog, on_model, photo, upload
from backend.renderers.base import Rendered, RenderFailed, RenderRequest
from backend.renderers.files import invalid
from backend.renderers.wire import ChildConfig


class Stages:
    """The table of stages, and the net that is kept open between requests."""

    def __init__(self, config: ChildConfig) -> None:
        harden_libvips(threads=config.limits.threads)
        self._net = photo.KeptNet(config.model_path, config.limits.threads)
        self._by_name: dict[str, Callable[[RenderRequest], Rendered]] = {
            "normalise": upload.normalise_upload,
            "validate": photo.validate,
            "segment": self._segment,
            "compose": catalog.compose_master,
            "encode": catalog.encode_catalog,
            "dress": on_model.dress,
            "encode_render": on_model.encode_render,
            "swap_with_image": background_swap.swap_with_image,
            "swap_with_spec": background_swap.swap_with_spec,
            "encode_swap": background_swap.encode_swap,
        }

    def run(self, request: RenderRequest) -> Rendered:
        """Run one stage; whatever the image or the request is to blame for is a `RenderFailed`."""
        stage = self._by_name.get(request.stage)
        if stage is None:
            raise invalid(f"there is no stage {request.stage!r}")
        try:
            return stage(request)
        except ImageRefused as refused:
            raise RenderFailed(refused.failure) from refused
        except msgspec.ValidationError as error:
            raise invalid(str(error)) from error

    def _segment(self, request: RenderRequest) -> Rendered:
        return photo.segment(request, self._net.get())
