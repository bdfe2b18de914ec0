"""A shop's settings: read, and changed as a whole.

Each change has the next version, which is their ETag. Whoever names the version that they have
read changes that one and no later one.
"""

import re
from collections.abc import Collection
from typing import Any

import msgspec
from sqlalchemy import Date, Row, func, select, true, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.errors import InvalidRequest, PreconditionFailed, ShopNotInstalled
from backend.jobs.creation import require_distinct_outputs, stored_request, within
from backend.jobs.daily_quotas import RULE_CREDITS, amount_of
from backend.jobs.queries import installed
from backend.rules.keys import chosen_parameters
from backend.rules.models import ShopSettings
from backend.rules.schemas import DEFAULTS, AnyRule, Rule, SettingsRequest, SettingsResponse
from backend.shops.models import Shop
from backend.shops.service import installed_id
from backend.workflows import BY_NAME
from backend.workflows.registry import Workflow

NEVER_CHANGED = 0  # the version of what holds for a shop that has set nothing
TAG = re.compile(r'"([0-9]{1,9})"')


class StoredRule(msgspec.Struct, frozen=True, kw_only=True):
    """A rule as it runs now, and its parameters as its row has them."""

    rule: Any
    parameters: dict[str, Any]


class StoredSettings(msgspec.Struct, frozen=True, kw_only=True):
    """A shop's settings; `retired` are rules of workflows or parameters that there are no more."""

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
    """The settings, and which version of them."""

    version: int
    settings: SettingsResponse

    @property
    def etag(self) -> str:
        """Of what can be set: what has been spent meanwhile does not change it."""
        return f'"{self.version}"'


async def shop_settings(connection: AsyncConnection, *, shop_domain: str) -> Versioned:
    """What holds for the shop now. Raises `ShopNotInstalled`."""
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
) -> Versioned:
    """Put these in the place of all that was set, if that is what `if_match` names.

    Raises `ShopNotInstalled`, `InvalidRequest` or `PreconditionFailed`.
    """
    require_affordable(wanted)
    shop_id = await installed_id(connection, shop_domain)
    for index, rule in enumerate(wanted.rules):
        with within("rules", index, "parameters"):
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
    """The versions that an If-Match header names (RFC 9110, 13.1.1); None for any.

    A weak tag names none, and neither does anything else that is no tag of ours.
    """
    if if_match is None or if_match.strip() == "*":
        return None
    tags = (TAG.fullmatch(tag.strip()) for tag in if_match.split(","))
    return {int(tag[1]) for tag in tags if tag}


def changing(shop_id: int, values: dict[str, Any], versions: Collection[int] | None) -> Any:
    """The statement that changes one of these versions, or any; it changes no row otherwise.

    Of two who have read the same, the second waits for the first, and then finds another version.
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
    """The shop, what it has set, and what day it is; None if there is no such shop."""
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
    """What the row says, or what holds for a shop that has set nothing.

    A rule that this release cannot read is set aside: it must not stop the others.
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
    """The rule as its row keeps it: with the parameters that were chosen, and no defaults."""
    parameters = chosen_parameters(rule.parameters)  # type: ignore[attr-defined]
    return {**msgspec.to_builtins(rule), "parameters": parameters}


def require_affordable(wanted: SettingsRequest) -> None:
    """Raise `InvalidRequest` if a rule costs more than the whole day's cap; 0 stops them all."""
    price = max((workflow_of(rule).credits_cost for rule in wanted.rules), default=0)
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
