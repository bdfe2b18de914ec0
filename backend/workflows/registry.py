"""What Atelier can make: one `Workflow` each, in a small file of its own beside this one.

Light by design: the web process imports it. How a stage makes its pixels is `renderers`' matter.
"""

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any, Literal

import msgspec

from backend.workflows.pictures import ProductPhoto

Caller = Literal["merchant", "storefront"]


class Stage(msgspec.Struct, frozen=True):
    """A step that ends in a checkpoint.

    `inputs` names files of earlier stages; `done` is the line the merchant reads afterwards.
    """

    name: str
    done: str
    inputs: tuple[str, ...] = ()


class Workflow(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """A kind of job: its public names, what one asks for, its price, its stages in order."""

    name: str  # kebab-case, as in POST /v1/<name>
    job_type: str  # UPPER_SNAKE, as in a job's header
    summary: str  # one line for the API's documentation
    op_class: Literal["catalog", "compose", "edit"]
    credits_cost: int
    request: type[ProductPhoto]
    stages: tuple[Stage, ...]
    callers: frozenset[Caller] = frozenset({"merchant"})  # who may ask for it
    is_preview: bool = False  # its pictures are for the merchant to look at, never to publish
    version: int = 1  # raise it to have rules make a product's pictures anew (`rules.keys`)

    @property
    def parameters(self) -> tuple[str, ...]:
        """The request's fields that say how to make it, without those that name its pictures."""
        return tuple(
            name for name in self.request.__struct_fields__ if name not in self.request.pictures()
        )

    @cached_property
    def without_photo(self) -> type[msgspec.Struct]:
        """The request without the fields that name the photo, for whoever names it otherwise."""
        photo = ProductPhoto.__struct_fields__
        own = [name for name in self.request.__struct_fields__ if name not in photo]
        return self.derived(f"{self.request.__name__}Parameters", own)

    def derived(
        self, name: str, fields: Iterable[str], *own: tuple[str, Any]
    ) -> type[msgspec.Struct]:
        """A Struct with those of the request's fields, and as closed; `own` ones come first."""
        known = {field.name: field for field in msgspec.structs.fields(self.request)}
        taken = [
            (each, known[each].type)
            if known[each].required
            else (each, known[each].type, known[each].default)
            for each in fields
        ]
        return msgspec.defstruct(
            name, [*own, *taken], frozen=True, kw_only=True, forbid_unknown_fields=True
        )


def by_job_type(*workflows: Workflow) -> Mapping[str, Workflow]:
    """The registry: each workflow under its job type."""
    return {workflow.job_type: workflow for workflow in workflows}
