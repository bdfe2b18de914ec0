"""What a workflow is. Each one is a `Workflow` in a small file of its own beside this one.

The web process imports this package, so it stays light: how a stage makes its pixels is told in
`backend.renderers`.
"""

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any, Literal

import msgspec

from backend.workflows.pictures import ProductPhoto, UploadKey
from backend.workflows.stages import Stage, StageFile


class Workflow(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """A type of job: its public names, its parameters, its price and its stages in order.

    Raises `ValueError` when a stage stands there twice or reads a file that no earlier one makes.
    """

    name: str  # kebab-case, as in POST /v1/<name>
    job_type: str  # UPPER_SNAKE, as in a job's header
    summary: str  # one line for the API's documentation
    op_class: Literal["catalog", "compose", "edit"]
    credits_cost: int
    # How to make the pictures, with bounds and defaults: what the engines get of a request.
    parameters: type[msgspec.Struct]
    # The fields that name uploads which the job needs beside the product's photo.
    upload_fields: tuple[str, ...] = ()
    stages: tuple[Stage, ...]
    for_visitors: bool = False  # may visitors of the storefront ask for it, as merchants may?
    is_preview: bool = False  # its pictures are for the merchant to look at, never to publish
    version: int = 1  # raise it to have rules make a product's pictures anew (`rules.keys`)

    def __post_init__(self) -> None:
        made: set[StageFile] = set()
        for stage in self.stages:
            if missing := sorted(set(stage.inputs) - made):
                raise ValueError(
                    f"Stage {stage.name} of {self.name} reads {', '.join(missing)}, "
                    "which no earlier stage makes."
                )
            made.update(stage.outputs)
        names = [stage.name for stage in self.stages]
        if len(set(names)) < len(names):
            raise ValueError(f"A stage of {self.name} stands there twice: {', '.join(names)}.")

    @cached_property
    def request(self) -> type[ProductPhoto]:
        """What a merchant sends: the photo, further uploads and the parameters."""
        return self._with_fields(self.parameters.__name__, self._uploads, base=ProductPhoto)

    @cached_property
    def without_photo(self) -> type[msgspec.Struct]:
        """The request without the fields that name the photo, for rules and batches."""
        return self._with_fields(f"{self.parameters.__name__}Parameters", self._uploads)

    def request_with(self, name: str, *photo: tuple[str, Any]) -> type[msgspec.Struct]:
        """A request that names its photo by these fields alone."""
        return self._with_fields(name, photo)

    @property
    def _uploads(self) -> list[tuple[str, Any]]:
        return [(name, UploadKey) for name in self.upload_fields]

    def _with_fields(
        self, name: str, fields: Iterable[tuple[str, Any]], base: type[msgspec.Struct] | None = None
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
