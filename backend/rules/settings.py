"""A shop's settings: read, and replaced as a whole.

Each change increments the version, which is the ETag. A client that sends the version it has read
replaces that version only, not a later one.
"""

import re
from collections.abc import Collection
from typing import Any

import msgspec
from sqlalchemy import Date, Row, func, select, true, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.errors import (
    InvalidRequest,
    PreconditionFailed,
    ShopNotInstalled,
    WorkflowWithoutEngine,
)
from backend.jobs.creation import (
    require_distinct_outputs,
    require_further_images,
    stored_request,
    within,
)
from backend.jobs.daily_quotas import RULE_CREDITS, amount_of
from backend.jobs.prices import price_of
from backend.jobs.queries import installed
from backend.rules.keys import chosen_parameters
from backend.rules.models import ShopSettings
from backend.rules.schemas import DEFAULTS, AnyRule, Rule, SettingsRequest, SettingsResponse
from backend.settings import Quotas
from backend.shops.models import Shop
from backend.shops.service import installed_id
from backend.workflows import BY_NAME
from backend.workflows.offer import WorkflowOffer
from backend.workflows.registry import Workflow

NEVER_CHANGED = 0  # the version of the default settings
RULES_ETAG = re.compile(r'"([0-9]{1,9})"')


class StoredRule(msgspec.Struct, frozen=True, kw_only=True):
    """A rule with today's defaults, and its parameters as stored."""

    rule: Any
    parameters: dict[str, Any]


class StoredSettings(msgspec.Struct, frozen=True, kw_only=True):
    """A shop's settings; `retired` are rules whose workflow or parameters no longer exist."""

    rules: tuple[StoredRule, ...]
    retired: tuple[dict[str, Any], ...] = ()
    daily_credit_cap: int


UNSET = StoredSettings(
    rules=tuple(
        StoredRule(rule=rule, parameters=chosen_parameters(rule.parameters))
        for rule in DEFAULTS.rules
    ),
    daily_credit_cap=DEFAULTS.daily_credit_cap,
)


class Versioned(msgspec.Struct, frozen=True, kw_only=True):
    """The settings with their ETag."""

    version: int
    settings: SettingsResponse

    @property
    def etag(self) -> str:
        """The ETag of the settings; the credits spent do not change it."""
        return f'"{self.version}"'


async def shop_settings(connection: AsyncConnection, *, shop_domain: str) -> Versioned:
    """The shop's current settings. Raises `ShopNotInstalled`."""
    row = await settings_row(connection, *installed(shop_domain))
    if row is None:
        raise ShopNotInstalled
    settings = settings_of(row)
    spent = await amount_of(connection, row.id, row.today, RULE_CREDITS)
    return Versioned(
        version=NEVER_CHANGED if row.version is None else row.version,
        settings=SettingsResponse(
            rules=tuple(each.rule for each in settings.rules),
            retired_rules=settings.retired,
            daily_credit_cap=settings.daily_credit_cap,
            credits_spent_today=spent,
        ),
    )


async def change_settings(
    connection: AsyncConnection,
    *,
    shop_domain: str,
    wanted: SettingsRequest,
    if_match: str | None,
    offer: WorkflowOffer,
    quotas: Quotas,
) -> Versioned:
    """Replace all settings, if `if_match` names the current version.

    Raises `ShopNotInstalled`, `InvalidRequest`, `WorkflowWithoutEngine` or `PreconditionFailed`.
    """
    require_affordable(wanted, quotas)
    shop_id = await installed_id(connection, shop_domain)
    await require_engines(connection, shop_id, wanted, offer)
    await require_no_previews(connection, shop_id, wanted, offer)
    for index, rule in enumerate(wanted.rules):
        with within("rules", index, "parameters"):
            require_further_images(workflow_of(rule), rule.parameters)
            require_distinct_outputs(rule.parameters)
            await stored_request(connection, shop_id, rule.parameters)  # its uploads are kept
    values = {
        "rules": [stored(rule) for rule in wanted.rules],
        "daily_credit_cap": wanted.daily_credit_cap,
        "changed_at": func.now(),
    }
    changed = await connection.execute(changing(shop_id, values, named_versions(if_match)))
    if changed.rowcount == 0:
        raise PreconditionFailed
    return await shop_settings(connection, shop_domain=shop_domain)


def named_versions(if_match: str | None) -> Collection[int] | None:
    """The versions in an If-Match header (RFC 9110, 13.1.1); None for any.

    A weak tag matches no version, and neither does any other tag that is not ours.
    """
    if if_match is None or if_match.strip() == "*":
        return None
    tags = (RULES_ETAG.fullmatch(tag.strip()) for tag in if_match.split(","))
    return {int(tag[1]) for tag in tags if tag}


def changing(shop_id: int, values: dict[str, Any], versions: Collection[int] | None) -> Any:
    """The statement that replaces one of these versions, or any; otherwise it changes no row.

    Of two concurrent clients, the second waits for the first and then finds another version.
    """
    later = {**values, "version": ShopSettings.version + 1}
    known = true() if versions is None else ShopSettings.version.in_(versions)
    if versions is not None and NEVER_CHANGED not in versions:
        return update(ShopSettings).where(ShopSettings.shop_id == shop_id, known).values(**later)
    first = {**values, "version": NEVER_CHANGED + 1}
    return (
        upsert(ShopSettings)
        .values(shop_id=shop_id, **first)
        .on_conflict_do_update(index_elements=["shop_id"], set_=later, where=known)
    )


async def settings_row(connection: AsyncConnection, *which: Any) -> Row[Any] | None:
    """The shop, its settings and today's date; None if there is no such shop."""
    found = (
        select(
            Shop.id,
            Shop.joined_at,
            Shop.stored_bytes,
            ShopSettings.rules,
            ShopSettings.daily_credit_cap,
            ShopSettings.version,
            func.timezone("UTC", func.now()).cast(Date).label("today"),
        )
        .select_from(Shop)
        .outerjoin(ShopSettings, ShopSettings.shop_id == Shop.id)
        .where(*which)
    )
    return (await connection.execute(found)).one_or_none()


def settings_of(row: Row[Any]) -> StoredSettings:
    """The row's settings, or the defaults.

    A rule that this release cannot decode is set aside, so that the others still run.
    """
    if row.rules is None:
        return UNSET
    rules: list[StoredRule] = []
    retired: list[dict[str, Any]] = []
    for each in row.rules:
        try:
            rule = msgspec.convert(each, AnyRule)
        except msgspec.ValidationError:
            retired.append(each)
        else:
            rules.append(StoredRule(rule=rule, parameters=each.get("parameters", {})))
    return StoredSettings(
        rules=tuple(rules), retired=tuple(retired), daily_credit_cap=row.daily_credit_cap
    )


def stored(rule: Rule) -> dict[str, Any]:
    """The rule as stored: with the chosen parameters, without defaults."""
    parameters = chosen_parameters(rule.parameters)  # type: ignore[attr-defined]
    return {**msgspec.to_builtins(rule), "parameters": parameters}


async def require_engines(
    connection: AsyncConnection, shop_id: int, wanted: SettingsRequest, offer: WorkflowOffer
) -> None:
    """Raise `WorkflowWithoutEngine` for a workflow that no rule has run so far.

    A rule whose engine was removed later may stay: the other settings can still be changed.
    """
    named = {workflow_of(rule).name for rule in wanted.rules} & offer.without_engine
    if not named:
        return
    known = {workflow_of(rule).name for rule in await stored_rules(connection, shop_id)}
    if named - known:
        raise WorkflowWithoutEngine


async def require_no_previews(
    connection: AsyncConnection, shop_id: int, wanted: SettingsRequest, offer: WorkflowOffer
) -> None:
    """Raise `InvalidRequest` for a rule that is to publish previews and did not so far.

    What a hosted engine makes is none. A rule may stay after that engine was removed: its previews
    wait for review.
    """
    previews = {
        index: workflow_of(rule).name
        for index, rule in enumerate(wanted.rules)
        if rule.publish and workflow_of(rule).is_preview
    }
    refused = {index: name for index, name in previews.items() if name not in offer.hosted}
    if not refused:
        return
    stored = await stored_rules(connection, shop_id)
    known = {workflow_of(rule).name for rule in stored if rule.publish}
    message = "Its images are previews here, which cannot be published. Set publish to null."
    if problems := [
        {"loc": ["body", "rules", index, "publish"], "msg": message, "type": "value_error"}
        for index, name in refused.items()
        if name not in known
    ]:
        raise InvalidRequest(problems)


async def stored_rules(connection: AsyncConnection, shop_id: int) -> list[Any]:
    """The shop's current rules."""
    row = await settings_row(connection, Shop.id == shop_id)
    return [each.rule for each in settings_of(row).rules] if row else []


def require_affordable(wanted: SettingsRequest, quotas: Quotas) -> None:
    """Raise `InvalidRequest` if a rule costs more than the whole day's cap; 0 stops them all."""
    price = max((price_of(workflow_of(rule), quotas) for rule in wanted.rules), default=0)
    if 0 < wanted.daily_credit_cap < price:
        message = (
            f"One of the rules costs {price} credits. Set at least that, or 0 to stop all rules."
        )
        raise InvalidRequest(
            [{"loc": ["body", "daily_credit_cap"], "msg": message, "type": "value_error"}]
        )


def workflow_of(rule: Rule) -> Workflow:
    """The workflow that the rule runs."""
    return BY_NAME[str(rule.__struct_config__.tag)]
