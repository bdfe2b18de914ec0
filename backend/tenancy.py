"""The second line between shops: a connection sees the rows of the shop it has entered, no others.

The first line is the `shop_id` in every statement; this one holds when a statement forgets it.
Processes connect as roles that own nothing, and the migrations put row-level security on every
table with a shop's rows (`migrations.row_security`): `WEB` sees nothing before it has entered a
shop, `WORKER` sees all until then. What is entered lasts as long as the transaction; nobody finds
it on a pooled connection. docs/tenancy.md tells what it costs and how to set it up.
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
DOMAIN, ID = "app.shop_domain", "app.shop_id"  # what the policies compare rows with
NOBODY = "-"  # no shop is called that

SHOPS = table("shops", column("id", BigInteger), column("domain", Text), column("status", Text))
# Postgres joins in the order it likes, and it pulls subqueries into the statement around them, but
# not those with an OFFSET. A LATERAL one that uses an outer column can only run after it.
AS_IT_STANDS: ColumnElement[int] = literal_column("0")


def entered(domain: ColumnElement[str], *conditions: ColumnElement[bool]) -> FromClause:
    """The `id` of the shop of that domain, which whatever is joined to it LATERAL may see.

    For a statement that is a transaction of its own: it enters the shop on its way, with no round
    trip more. `conditions` are on `SHOPS`; there is no row, and nothing to see, if none meets them.
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
    """The value, which is now that of the setting, until the transaction ends."""
    return func.set_config(literal_column(f"'{name}'"), value, true(), type_=Text)


def by_id() -> Select[Any]:
    """Enter the shop with that id; if this role sees none, enter a shop that is not there."""
    domain = func.coalesce(SHOPS.c.domain, NOBODY)
    number = func.coalesce(cast(SHOPS.c.id, Text), "")
    asked = select(bindparam("shop", type_=BigInteger).label("id")).subquery("asked")
    both: Any = select(setting(DOMAIN, domain), setting(ID, number))
    statement: Select[Any] = both.select_from(asked.outerjoin(SHOPS, SHOPS.c.id == asked.c.id))
    return statement


BY_DOMAIN = select(entered(bindparam("shop", type_=Text)).c.id)
BY_ID = by_id()


async def enter(connection: AsyncConnection, shop: str | int) -> None:
    """Let the transaction see this shop's rows and no others: by domain, or by id for workers.

    An unknown shop has no rows; and a role that sees no shops before it has entered one, as `WEB`,
    enters none by id.
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
    """Raise `ConfigurationError` when row-level security would not hold for this connection."""
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
