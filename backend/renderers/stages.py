"""The stages by name, as the child runs them: bytes in, files and facts out.

A stage keeps nothing for the next one: the worker stores the files between them.
"""

from collections.abc import Callable

import msgspec

from backend.imaging.decode import harden_libvips
from backend.imaging.formats import ImageRefused
from backend.imaging.subject import SubjectNet
from backend.renderers import (
    background_swap,
    catalog,
    generated,
    on_model,
    photo,
    provider_pictures,
    upload,
)
from backend.renderers.base import Rendered, RenderFailed, RenderRequest
from backend.renderers.requests import bad_render_request
from backend.renderers.wire import ChildConfig
from backend.workflows.stages import StageName


class Stages:
    """The table of stages, and the net that is kept between requests."""

    def __init__(self, config: ChildConfig) -> None:
        harden_libvips(threads=config.limits.threads)
        self._net = photo.KeptNet(config.model_path, config.limits.threads)
        self.by_name: dict[str, Callable[[RenderRequest], Rendered]] = {
            StageName.NORMALISE: upload.normalise_upload,
            StageName.NORMALISE_OUTPUT: provider_pictures.normalise_output,
            StageName.VALIDATE: photo.validate,
            StageName.PREPARE: provider_pictures.prepare,
            StageName.SEGMENT: self._with_net(photo.segment),
            StageName.COMPOSE: catalog.compose_master,
            StageName.ENCODE: catalog.encode_catalog,
            StageName.DRESS: on_model.dress,
            StageName.ENCODE_RENDER: self._with_net(on_model.encode_render),
            StageName.SWAP_WITH_IMAGE: background_swap.swap_with_image,
            StageName.SWAP_WITH_SPEC: background_swap.swap_with_spec,
            StageName.ENCODE_SWAP: background_swap.encode_swap,
            StageName.ENCODE_GENERATED: self._with_net(generated.encode_generated),
        }

    def run(self, request: RenderRequest) -> Rendered:
        """Run one stage. What is wrong with the image or the request is a `RenderFailed`."""
        stage = self.by_name.get(request.stage)
        if stage is None:
            raise bad_render_request(f"there is no stage {request.stage!r}")
        try:
            return stage(request)
        except ImageRefused as refused:
            raise RenderFailed(refused.failure) from refused
        except msgspec.ValidationError as error:
            raise bad_render_request(str(error)) from error

    def _with_net(
        self, stage: Callable[[RenderRequest, SubjectNet | None], Rendered]
    ) -> Callable[[RenderRequest], Rendered]:
        return lambda request: stage(request, self._net.get())
