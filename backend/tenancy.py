"""Row-level security: a connection sees only the rows of the shop it has entered.

This is the second line of defence; the first is the `shop_id` in every statement. Processes connect
as roles that own nothing, and the migrations enable row-level security on every table with a shop's
rows (`migrations.row_security`). `WEB` sees nothing before it enters a shop; `WORKER` sees all rows
until then. Entering lasts until the end of the transaction, so nothing is left on a pooled
connection. docs/tenancy.md has the cost and the set-up.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    FromClause,
    Select,
    Text,
    bindparam,
    cast,
    column,
    func,
    literal_column,
    select,
    table,
    text,
    true,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.errors import ConfigurationError

WEB, WORKER = "atelier_web", "atelier_worker"
DOMAIN_SETTING, ID_SETTING = "app.shop_domain", "app.shop_id"  # the settings that the policies read
NO_SHOP = "-"  # no shop has this domain

SHOPS = table("shops", column("id", BigInteger), column("domain", Text), column("status", Text))
# Postgres reorders joins and inlines subqueries, but not those with an OFFSET. A LATERAL subquery
# that uses an outer column can only run after it.
OFFSET_ZERO: ColumnElement[int] = literal_column("0")


def entered_shop(domain: ColumnElement[str], *conditions: ColumnElement[bool]) -> FromClause:
    """A subquery that enters the shop of that domain and gives its `id`.

    For a statement that is its own transaction: it enters the shop without another round trip, and
    what is joined to it LATERAL sees the shop's rows. `conditions` are on `SHOPS`; if no shop meets
    them there is no row, and none is visible.
    """
    named = select(setting(DOMAIN_SETTING, domain).label("domain"))
    context = named.offset(OFFSET_ZERO).subquery("context")
    seen = (
        select(cast(setting(ID_SETTING, cast(SHOPS.c.id, Text)), BigInteger).label("id"))
        .where(SHOPS.c.domain == context.c.domain, *conditions)
        .offset(OFFSET_ZERO)
        .lateral("seen")
    )
    opened = select(seen.c.id).select_from(context).join(seen, true())
    return opened.offset(OFFSET_ZERO).subquery("shop")


def setting(name: str, value: ColumnElement[str]) -> ColumnElement[str]:
    """Set the setting to the value until the transaction ends; gives the value."""
    return func.set_config(literal_column(f"'{name}'"), value, true(), type_=Text)


def enter_by_id() -> Select[Any]:
    """Enter the shop with that id; if the role cannot see it, enter a shop that does not exist."""
    domain = func.coalesce(SHOPS.c.domain, NO_SHOP)
    number = func.coalesce(cast(SHOPS.c.id, Text), "")
    asked = select(bindparam("shop", type_=BigInteger).label("id")).subquery("asked")
    both: Any = select(setting(DOMAIN_SETTING, domain), setting(ID_SETTING, number))
    statement: Select[Any] = both.select_from(asked.outerjoin(SHOPS, SHOPS.c.id == asked.c.id))
    return statement


ENTER_BY_DOMAIN = select(entered_shop(bindparam("shop", type_=Text)).c.id)
ENTER_BY_ID = enter_by_id()


async def enter(connection: AsyncConnection, shop: str | int) -> None:
    """Restrict the transaction to this shop's rows: by domain, or by id for workers.

    An unknown shop has no rows. `WEB` cannot enter a shop by id, because it sees no shops before it
    has entered one.
    """
    await connection.execute(
        ENTER_BY_DOMAIN if isinstance(shop, str) else ENTER_BY_ID, {"shop": shop}
    )


ROW_SECURITY_STATUS = text(
    """
    SELECT rolsuper OR rolbypassrls AS is_above, current_setting('row_security') = 'on' AS is_on,
           ARRAY(SELECT relname::text FROM pg_class
                 WHERE relkind IN ('r', 'p') AND pg_table_is_visible(pg_class.oid)
                 AND NOT (relrowsecurity AND relforcerowsecurity)
                 AND (relname = 'shops' OR EXISTS (
                     SELECT FROM pg_attribute
                     WHERE attrelid = pg_class.oid AND attname IN ('shop_id', 'shop_domain')
                 ))
                 ORDER BY relname) AS open_tables
    FROM pg_roles WHERE rolname = current_user
    """
)


async def require_row_security(connection: AsyncConnection) -> None:
    """Raise `ConfigurationError` if row-level security would not protect this connection."""
    found = (await connection.execute(ROW_SECURITY_STATUS)).one()
    if found.is_above:
        raise ConfigurationError(
            "This role bypasses row-level security (SUPERUSER or BYPASSRLS). See docs/tenancy.md."
        )
    if not found.is_on:
        raise ConfigurationError("row_security is off for this role or database. Turn it on.")
    if found.open_tables:
        raise ConfigurationError(
            f"No row-level security on {', '.join(found.open_tables)}. Run `atelier migrate`."
        )
