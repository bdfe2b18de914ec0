"""`atelier erasures`: after a restore, repeat the erasures made since the dump."""

from contextlib import AsyncExitStack

import click

from backend.jobs.erasure import erase_jobs
from backend.settings import Settings
from backend.shops.service import KnownShop, known_shop, uninstall
from backend.slices import TimeSlice
from backend.storage.erasures import ErasureNote, noted_erasures
from backend.worker.run import open_worker_context
from webhooks.erasure import begin_erasure, erase_customer, erase_shop, name_aside
from webhooks.outcome import HandlerContext


async def repeat_erasures() -> None:
    """Go through the list in the bucket, and print the result of each erasure."""
    settings = Settings.from_env()
    async with AsyncExitStack() as stack:
        context, handler_context = await open_worker_context(stack, settings, 1, None)
        await context.database.require_schema()
        count = 0
        async for note in noted_erasures(handler_context.store):
            what = f"customer {note.customer_id} of " if note.customer_id else ""
            click.echo(f"{note.requested_at:%Y-%m-%d}  {what}{note.shop_domain}: ", nl=False)
            click.echo(await repeated(handler_context, note))
            count += 1
    click.echo(f"{count} erasures are on the list; all of them are now carried out.")


async def repeated(handler_context: HandlerContext, note: ErasureNote) -> str:
    """Repeat one erasure, if its data is there; return the result in words.

    An account with another number belongs to a later installation and is not touched.
    """
    aside = await known_shop(
        handler_context.database, name_aside(note.shop_domain, note.webhook_id)
    )
    shop = aside or await known_shop(handler_context.database, note.shop_domain)
    if shop is None or shop.id != note.shop_id:
        return "no data found"
    time_slice = TimeSlice()
    if note.customer_id is not None:
        await erase_customer(handler_context, shop, note, time_slice)
        return f"{time_slice.done} jobs erased"
    if aside is None and shop.installed_at > note.requested_at:
        until = note.requested_at
        erased = await erase_jobs(
            handler_context.database, handler_context.store, shop.id, before=until
        )
        return f"the shop has reinstalled; {erased} jobs from before that erased"
    if aside is None:
        await set_aside_again(handler_context, shop, note)
    await erase_shop(
        handler_context,
        shop.id,
        domain=note.shop_domain,
        received_until=note.requested_at,
        kept_id=note.webhook_id,
        time_slice=time_slice,
    )
    return f"{time_slice.done} jobs and the shop erased"


async def set_aside_again(
    handler_context: HandlerContext, shop: KnownShop, note: ErasureNote
) -> None:
    """Close the account, which was open when the dump was made, and set it aside."""
    async with handler_context.database.transaction(shop.id) as connection:
        await uninstall(connection, shop)
    name = name_aside(note.shop_domain, note.webhook_id)
    if not await begin_erasure(handler_context, shop, note, name):
        raise click.ClickException(
            f"{note.shop_domain} was installed just now. Stop every process, then run this again."
        )
