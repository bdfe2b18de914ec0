"""`atelier stand-in`: the stand-in Shopify and the stand-in provider in a process of their own."""

import asyncio
import contextlib
import json
from collections.abc import Sequence
from pathlib import Path

import httpx
from rich.console import Console

from backend.dev.demo import stoppable
from backend.dev.providers import StandInProvider
from backend.dev.shopify import StandInShopify
from backend.dev.stack import StackError, checked


async def play_shopify(
    shopify: StandInShopify,
    provider: StandInProvider,
    *,
    shops: Sequence[str],
    photos: Sequence[Path],
) -> None:
    """Open the shops, make a product of each photo in each, and serve until Ctrl-C."""
    console = Console(stderr=True, highlight=False)
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(stoppable())
        stack.enter_context(contextlib.suppress(asyncio.CancelledError))
        try:
            await stack.enter_async_context(shopify)
            await stack.enter_async_context(provider)
        except OSError as error:
            raise StackError(
                f"Cannot listen: {error.strerror}. Choose another --port or --provider-port."
            ) from error
        for shop in shops:
            shopify.create_shop(shop)
        settings = {name.upper(): value for name, value in provider.settings.items()}
        ready = {"origin": shopify.origin, "shops": list(shops), "provider": settings}
        print(json.dumps(ready), flush=True)
        if photos:
            for shop in shops:
                await fill_shop(shopify, shop, photos, console)
        console.print("Running; stop with Ctrl-C.")
        await asyncio.Event().wait()


async def fill_shop(
    shopify: StandInShopify, shop: str, photos: Sequence[Path], console: Console
) -> None:
    """Install the app in the shop, and create a product with its webhook for each photo."""
    try:
        async with httpx.AsyncClient(base_url=shopify.app_url, timeout=30) as http:
            token = {"Authorization": f"Bearer {shopify.id_token(shop)}"}
            checked(await http.post("/v1/installation", headers=token))
        for photo in photos:
            product = shopify.create_product(shop, photo.stem.replace("_", " "), photo)
            checked(await shopify.send_webhook(shop, "products/create"))
            console.print(f"{shop}: {product.gid}")
    except httpx.TransportError as error:
        raise StackError(
            f"The app at {shopify.app_url} does not answer. Start `atelier serve` first."
        ) from error
