"""What a workflow is. Each one is a `Workflow` in a small file of its own beside this one.

The web process imports this package, so it stays light: how a stage makes its pixels is told in
`backend.renderers`.
"""

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any, Literal

import msgspec

from backend.workflows.further_images import FurtherImage
from backend.workflows.pictures import ProductPhoto
from backend.workflows.stages import Stage, StageFile, StageName


class Workflow(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """A type of job: its public names, its parameters, its price and its stages in order.

    Raises `ValueError` when a stage stands there twice or reads a file that may not be there.
    """

    name: str  # kebab-case, as in POST /v1/<name>
    job_type: str  # UPPER_SNAKE, as in a job's header
    summary: str  # one line for the API's documentation
    op_class: Literal["catalog", "compose", "edit", "generate"]
    credits_cost: int
    # How to make the pictures, with bounds and defaults: what the engines get of a request.
    parameters: type[msgspec.Struct]
    has_photo: bool = True  # does a request name a product's photo?
    further_images: tuple[FurtherImage, ...] = ()
    stages: tuple[Stage, ...]
    for_visitors: bool = False  # may visitors of the storefront ask for it, as merchants may?
    for_many_products: bool = True  # may rules and batches run it for any product's photo?
    is_preview: bool = False  # made on this machine, its pictures are never to be published
    version: int = 1  # raise it to have rules make a product's pictures anew (`rules.keys`)

    def __post_init__(self) -> None:
        optional = {image.file for image in self.further_images if not image.is_required}
        made: set[StageFile] = set()
        perhaps: set[StageFile] = set()
        for stage in self.stages:
            missing = {*stage.inputs} - made | {*stage.optional_inputs} - made - perhaps
            if missing:
                raise ValueError(
                    f"Stage {stage.name} of {self.name} reads {', '.join(sorted(missing))}, "
                    "which no earlier stage makes."
                )
            fetched = optional if stage.name is StageName.FETCH else set()
            made.update({*stage.outputs} - fetched)
            perhaps.update({*stage.outputs} & fetched)
        names = [stage.name for stage in self.stages]
        if len(set(names)) < len(names):
            raise ValueError(f"A stage of {self.name} stands there twice: {', '.join(names)}.")

    def stages_for(self, request: Mapping[str, Any]) -> tuple[Stage, ...]:
        """The stages of a job with this request: without those whose result the request names."""
        given = {image.file for image in self.further_images if image.is_in(request)}
        return tuple(
            stage
            for stage in self.stages
            if stage.name is StageName.FETCH or not stage.outputs or {*stage.outputs} - given
        )

    @cached_property
    def request(self) -> type[msgspec.Struct]:
        """What a merchant sends: the photo, further images and the parameters."""
        fields = [field for image in self.further_images for field in image.fields(image.ways)]
        base = ProductPhoto if self.has_photo else None
        return self._with_fields(self.parameters.__name__, fields, base=base)

    @cached_property
    def without_photo(self) -> type[msgspec.Struct]:
        """The request of rules and batches: without the photo, and without a person's photo."""
        fields = [
            field for image in self.further_images for field in image.fields(image.ways_to_keep)
        ]
        return self._with_fields(f"{self.parameters.__name__}Parameters", fields)

    def request_with(self, name: str, *photo: tuple[Any, ...]) -> type[msgspec.Struct]:
        """A request that names its images by these fields alone."""
        return self._with_fields(name, photo)

    def _with_fields(
        self,
        name: str,
        fields: Iterable[tuple[Any, ...]],
        base: type[msgspec.Struct] | None = None,
    ) -> type[Any]:
        """A struct of these fields and the parameters, which refuses any other field."""
        own = [
            (each.name, each.type) if each.required else (each.name, each.type, each.default)
            for each in msgspec.structs.fields(self.parameters)
        ]
        return msgspec.defstruct(
            name,
            [*fields, *own],
            bases=(base,) if base else None,
            namespace={"__doc__": self.parameters.__doc__} if base else None,
            frozen=True,
            kw_only=True,
            forbid_unknown_fields=True,
        )


def by_job_type(*workflows: Workflow) -> Mapping[str, Workflow]:
    """The registry: each workflow under its job type. Raises `ValueError` for a name used twice."""
    registry = {workflow.job_type: workflow for workflow in workflows}
    names = {workflow.name for workflow in workflows}
    if not len(registry) == len(names) == len(workflows):
        raise ValueError(
            f"Two workflows share a name: {', '.join(each.name for each in workflows)}."
        )
    return registry
