"""A shop's settings: read, and changed as a whole."""

from typing import Any

import msgspec
from sqlalchemy import Date, Row, func, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.errors import ShopNotInstalled
from backend.jobs.daily import amount_of
from backend.jobs.making import require_distinct_outputs, stored_request, within
from backend.jobs.queries import installed
from backend.rules.models import ShopSettings
from backend.rules.schemas import DEFAULTS, Rule, SettingsRequest, SettingsResponse
from backend.shops.models import Shop
from backend.shops.service import installed_id
from backend.workflows import BY_NAME
from backend.workflows.registry import Workflow


async def shop_settings(connection: AsyncConnection, *, shop_domain: str) -> SettingsResponse:
    """What holds for the shop now. Raises `ShopNotInstalled`."""
    row = await settings_row(connection, *installed(shop_domain))
    if row is None:
        raise ShopNotInstalled
    settings = settings_of(row)
    spent = await amount_of(connection, row.id, row.today, "rule_credits")
    return SettingsResponse(
        rules=settings.rules,
        daily_credit_cap=settings.daily_credit_cap,
        credits_spent_today=spent,
    )


async def change_settings(
    connection: AsyncConnection, *, shop_domain: str, wanted: SettingsRequest
) -> SettingsResponse:
    """Put these in the place of all that was set. Raises `ShopNotInstalled`, `InvalidRequest`."""
    shop_id = await installed_id(connection, shop_domain)
    for index, rule in enumerate(wanted.rules):
        with within("rules", index, "parameters"):
            require_distinct_outputs(rule.parameters)
            await stored_request(connection, shop_id, rule.parameters)  # its uploads are kept
    values = {
        "rules": msgspec.to_builtins(wanted.rules),
        "daily_credit_cap": wanted.daily_credit_cap,
        "changed_at": func.now(),
    }
    await connection.execute(
        upsert(ShopSettings)
        .values(shop_id=shop_id, **values)
        .on_conflict_do_update(index_elements=["shop_id"], set_=values)
    )
    return await shop_settings(connection, shop_domain=shop_domain)


async def settings_row(connection: AsyncConnection, *which: Any) -> Row[Any] | None:
    """The shop, what it has set, and what day it is; None if there is no such shop."""
    found = (
        select(
            Shop.id,
            Shop.joined_at,
            ShopSettings.rules,
            ShopSettings.daily_credit_cap,
            func.timezone("UTC", func.now()).cast(Date).label("today"),
        )
        .select_from(Shop)
        .outerjoin(ShopSettings, ShopSettings.shop_id == Shop.id)
        .where(*which)
    )
    return (await connection.execute(found)).one_or_none()


def settings_of(row: Row[Any]) -> SettingsRequest:
    """What the row says, or what holds for a shop that has set nothing."""
    if row.rules is None:
        return DEFAULTS
    return msgspec.convert(
        {"rules": row.rules, "daily_credit_cap": row.daily_credit_cap}, SettingsRequest
    )


def workflow_of(rule: Rule) -> Workflow:
    """The workflow that the rule runs."""
    return BY_NAME[str(rule.__struct_config__.tag)]
