"""One trial a shop, for ever: also after it has removed the app and its data was erased."""

import hashlib
import hmac

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.credits.models import TrialKey, TrialMark


async def claim_trial(connection: AsyncConnection, shopify_gid: str) -> bool:
    """Mark that the shop has had its trial; False if it was marked before.

    `shopify_gid` is Shopify's own id of the shop (`shops.shopify_gid`), which stays when it
    installs the app again. Grant the trial in the same transaction.
    """
    shop_hash = await trial_hash(connection, shopify_gid)
    mark = upsert(TrialMark).values(shop_hash=shop_hash).on_conflict_do_nothing()
    return (await connection.execute(mark.returning(TrialMark.shop_hash))).one_or_none() is not None


async def has_had_trial(connection: AsyncConnection, shopify_gid: str) -> bool:
    """Whether `claim_trial` has marked the shop."""
    found = select(TrialMark.shop_hash).where(
        TrialMark.shop_hash == await trial_hash(connection, shopify_gid)
    )
    return await connection.scalar(found) is not None


async def trial_hash(connection: AsyncConnection, shopify_gid: str) -> bytes:
    """The shop's hash, which does not tell which shop it is."""
    key = (await connection.execute(select(TrialKey.key))).scalar_one()
    return hmac.new(key.encode(), shopify_gid.encode(), hashlib.sha256).digest()
