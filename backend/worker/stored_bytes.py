"""Store how many bytes each shop has in the bucket, as found by the nightly sweep."""

from collections.abc import Mapping

from sqlalchemy import ARRAY, BigInteger, cast, func, select, update

from backend.db import Database
from backend.shops.models import Shop

SHOPS_PER_UPDATE = 1000  # shops in one transaction


async def store_sizes(database: Database, sizes: Mapping[int, int]) -> None:
    """Replace each shop's stored bytes; a shop that is not named has none.

    Uploads made while the sweep ran are counted by the next one. Unchanged figures are not written.
    """
    last = 0
    while shops := await some_shops(database, after=last):
        numbers = cast(shops, ARRAY(BigInteger))
        found = cast([sizes.get(shop, 0) for shop in shops], ARRAY(BigInteger))
        size = func.unnest(numbers, found).table_valued("id", "bytes").render_derived()
        async with database.transaction() as connection:
            await connection.execute(
                update(Shop)
                .where(Shop.id == size.c.id, Shop.stored_bytes != size.c.bytes)
                .values(stored_bytes=size.c.bytes)
            )
        last = shops[-1]


async def some_shops(database: Database, *, after: int) -> list[int]:
    """The next shops, ordered by their numbers."""
    found = select(Shop.id).where(Shop.id > after).order_by(Shop.id).limit(SHOPS_PER_UPDATE)
    async with database.reading() as connection:
        return list(await connection.scalars(found))
