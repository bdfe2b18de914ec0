"""The request and response types: a shop's rules, typed by workflow, and their daily cap."""

from typing import TYPE_CHECKING, Annotated, Any, Literal, Union

import msgspec

from backend.publications.schemas import Position
from backend.workflows import FOR_MANY_PRODUCTS
from backend.workflows.registry import Workflow

MAX_RULES = 20
DEFAULT_CAP = 1_000

Trigger = Literal["product_created", "image_changed"]
Triggers = Annotated[
    tuple[Trigger, ...],
    msgspec.Meta(
        min_length=1,
        max_length=2,
        description="`product_created`: a product got its first image. `image_changed`: the first "
        "image was replaced, or Atelier sees an older product's image for the first time.",
    ),
]
Status = Literal["ACTIVE", "ARCHIVED", "DRAFT", "UNLISTED"]
Words = Annotated[
    tuple[Annotated[str, msgspec.Meta(min_length=1, max_length=255)], ...],
    msgspec.Meta(max_length=50),
]
Credits = Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]


class ProductFilter(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Products that have a value from each list that is not empty. Case does not matter."""

    statuses: Annotated[tuple[Status, ...], msgspec.Meta(max_length=4)] = ()
    vendors: Words = ()
    product_types: Words = ()
    tags: Words = ()


class AutoPublish(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Publish the first image on the product if its verdict is `pass`.

    Its alt text is the product's title. Without a position it is added after the other media.
    """

    position: Position | None = None


class Rule(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="workflow"
):
    """When to run a workflow automatically, for which products, with which `parameters`.

    With null as `publish`, the images wait for the merchant's review. So do previews in any case.
    """

    on: Triggers = ("product_created", "image_changed")
    filter: ProductFilter = ProductFilter()
    publish: AutoPublish | None = None


def rule_for(workflow: Workflow) -> type[Rule]:
    """The rule that runs this workflow, with the workflow's own parameters."""
    name = workflow.parameters.__name__
    parameters = workflow.without_photo
    required = any(field.required for field in msgspec.structs.fields(parameters))
    default = () if required else (msgspec.field(default_factory=parameters),)
    rule: type[Any] = msgspec.defstruct(
        f"{name}Rule",
        [("parameters", parameters, *default)],
        bases=(Rule,),
        tag=workflow.name,
        frozen=True,
        kw_only=True,
        forbid_unknown_fields=True,
    )
    return rule


RULES: dict[str, type[Rule]] = {workflow.name: rule_for(workflow) for workflow in FOR_MANY_PRODUCTS}
if TYPE_CHECKING:
    AnyRule = Any
else:
    AnyRule = Union[tuple(RULES.values())]  # noqa: UP007
Rules = Annotated[tuple[AnyRule, ...], msgspec.Meta(max_length=MAX_RULES)]


class SettingsRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All settings of a shop. The cap limits the credits that rules spend in a day (UTC)."""

    rules: Rules
    daily_credit_cap: Credits = DEFAULT_CAP


class SettingsResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The settings, and the credits that the rules have spent today.

    `retired_rules` no longer run, because their workflow or one of their parameters is no longer
    offered. The next PUT removes them.
    """

    rules: Rules
    retired_rules: tuple[dict[str, Any], ...]
    daily_credit_cap: int
    credits_spent_today: int


# Every new image becomes a catalog image that waits for review.
DEFAULTS = SettingsRequest(rules=(RULES["catalog-image"](),))
