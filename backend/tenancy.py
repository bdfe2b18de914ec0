"""Row-level security between shops: a connection sees only the rows of the shop it has entered.

The first control is the `shop_id` in every statement. This one holds when a statement forgets it.
Processes connect with roles that own nothing, and the migrations enable row-level security on every
table with shops' rows (`migrations.row_security`). `WEB` sees nothing before it has entered a shop;
`WORKER` sees all rows until then. The entered shop ends with the transaction, so it never stays on
a pooled connection. docs/tenancy.md has the set-up and the cost.
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
DOMAIN, ID = "app.shop_domain", "app.shop_id"  # settings that the policies compare rows with
NOBODY = "-"  # no shop has this name

SHOPS = table("shops", column("id", BigInteger), column("domain", Text), column("status", Text))
# Postgres chooses the order of joins, and merges subqueries into the surrounding statement unless
# they have an OFFSET. A LATERAL subquery that uses an outer column can only run after it.
AS_IT_STANDS: ColumnElement[int] = literal_column("0")


def entered(domain: ColumnElement[str], *conditions: ColumnElement[bool]) -> FromClause:
    """The `id` of the shop with that domain; everything joined to it LATERAL sees its rows.

    For a statement that is a transaction of its own: it enters the shop without another round trip.
    `conditions` are on `SHOPS`. If no shop meets them, there is no row and nothing is visible.
    """
    named = select(setting(DOMAIN, domain).label("domain"))
    context = named.offset(AS_IT_STANDS).subquery("context")
    seen = (
        select(cast(setting(ID, cast(SHOPS.c.id, Text)), BigInteger).label("id"))
        .where(SHOPS.c.domain == context.c.domain, *conditions)
        .offset(AS_IT_STANDS)
        .lateral("seen")
    )
    opened = select(seen.c.id).select_from(context).join(seen, true())
    return opened.offset(AS_IT_STANDS).subquery("shop")


def setting(name: str, value: ColumnElement[str]) -> ColumnElement[str]:
    """Set the setting to the value until the transaction ends; return the value."""
    return func.set_config(literal_column(f"'{name}'"), value, true(), type_=Text)


def by_id() -> Select[Any]:
    """Enter the shop with that ID. If this role sees none, enter a shop that does not exist."""
    domain = func.coalesce(SHOPS.c.domain, NOBODY)
    number = func.coalesce(cast(SHOPS.c.id, Text), "")
    asked = select(bindparam("shop", type_=BigInteger).label("id")).subquery("asked")
    both: Any = select(setting(DOMAIN, domain), setting(ID, number))
    statement: Select[Any] = both.select_from(asked.outerjoin(SHOPS, SHOPS.c.id == asked.c.id))
    return statement


BY_DOMAIN = select(entered(bindparam("shop", type_=Text)).c.id)
BY_ID = by_id()


async def enter(connection: AsyncConnection, shop: str | int) -> None:
    """Let the transaction see only this shop's rows: by domain, or by ID for workers.

    An unknown shop has no rows. A role like `WEB`, which sees no shops before it has entered one,
    cannot enter a shop by ID.
    """
    await connection.execute(BY_DOMAIN if isinstance(shop, str) else BY_ID, {"shop": shop})


GUARD = text(
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


async def require_guard(connection: AsyncConnection) -> None:
    """Raise `ConfigurationError` if row-level security would not protect this connection."""
    found = (await connection.execute(GUARD)).one()
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
