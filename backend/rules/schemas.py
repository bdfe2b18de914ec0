"""The request and response types: a shop's rules, typed by workflow, and their daily cap."""

from typing import TYPE_CHECKING, Annotated, Any, Literal, Union

import msgspec

from backend.publications.schemas import Position
from backend.workflows import WORKFLOWS
from backend.workflows.registry import Workflow

MAX_RULES = 20
DEFAULT_CAP = 1_000

Trigger = Literal["product_created", "image_changed"]
Triggers = Annotated[
    tuple[Trigger, ...],
    msgspec.Meta(
        min_length=1,
        max_length=2,
        description="`product_created`: a product's first picture. `image_changed`: another one "
        "came in its place, or a picture of an older product is met for the first time.",
    ),
]
Status = Literal["ACTIVE", "ARCHIVED", "DRAFT", "UNLISTED"]
Words = Annotated[
    tuple[Annotated[str, msgspec.Meta(min_length=1, max_length=255)], ...],
    msgspec.Meta(max_length=50),
]
Credits = Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]


class ProductFilter(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which products: those that have one of each list that is not empty, in whatever case."""

    statuses: Annotated[tuple[Status, ...], msgspec.Meta(max_length=4)] = ()
    vendors: Words = ()
    product_types: Words = ()
    tags: Words = ()


class AutoPublish(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Put the first picture on the product, unless its verdict is that a person should look.

    Its alt text is the product's title. Without a position it comes behind the product's media.
    """

    position: Position | None = None


class Rule(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="workflow"
):
    """When to run a workflow by itself, and for which products; its `parameters` are below."""

    on: Triggers = ("product_created", "image_changed")
    filter: ProductFilter = ProductFilter()


class PublishingRule(Rule, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Null: the pictures wait for the merchant's review."""

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
        bases=(Rule if workflow.is_preview else PublishingRule,),
        tag=workflow.name,
        frozen=True,
        kw_only=True,
        forbid_unknown_fields=True,
    )
    return rule


RULES: dict[str, type[Rule]] = {
    workflow.name: rule_for(workflow) for workflow in WORKFLOWS.values()
}
if TYPE_CHECKING:
    AnyRule = Any
else:
    AnyRule = Union[tuple(RULES.values())]  # noqa: UP007
Rules = Annotated[tuple[AnyRule, ...], msgspec.Meta(max_length=MAX_RULES)]


class SettingsRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All of a shop's settings. The cap is on what its rules may start in a day (UTC)."""

    rules: Rules
    daily_credit_cap: Credits = DEFAULT_CAP


class SettingsResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The settings, and how much of the day's credits the rules have spent.

    `retired_rules` are those that no longer run, for their workflow or a parameter of theirs is no
    longer offered; the next PUT leaves them out.
    """

    rules: Rules
    retired_rules: tuple[dict[str, Any], ...]
    daily_credit_cap: int
    credits_spent_today: int


# Every new picture becomes a catalog image that waits to be looked at.
DEFAULTS = SettingsRequest(rules=(RULES["catalog-image"](),))
