"""Remember how much of the bucket is each shop's, as the nightly sweep has found it."""

from collections.abc import Mapping

from sqlalchemy import ARRAY, BigInteger, cast, func, select, update

from backend.db import Database
from backend.shops.models import Shop

SHOPS_PER_UPDATE = 1000  # shops in one transaction


async def store_sizes(database: Database, sizes: Mapping[int, int]) -> None:
    """Put these bytes in the place of what each shop had; a shop that is not named has none.

    What was uploaded while the sweep ran is counted by the next one. Shops whose figure is the
    same are not written.
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
    """The next shops, in the order of their numbers."""
    found = select(Shop.id).where(Shop.id > after).order_by(Shop.id).limit(SHOPS_PER_UPDATE)
    async with database.reading() as connection:
        return list(await connection.scalars(found))
