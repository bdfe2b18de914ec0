"""The page on which a merchant approves or declines a charge, and where they come back to.

Only a browser on this machine is answered, as in `embedded_admin`.
"""

import html
from collections.abc import Awaitable, Callable
from typing import Any

from litestar import Request, Response, Router, get, post
from litestar.exceptions import NotFoundException
from litestar.params import FromPath

from backend.dev.shopify.charges import Charge, NotApprovable
from backend.dev.shopify.embedded_admin import admin_path, opened_shop
from backend.dev.shopify.state import ChargeEvent, Platform, ShopRecord

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Approve charge · Stand-in admin</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/admin-assets/admin.css">
<main>
  <h1>{title}</h1>
  <p id="charge">{name}: {price}{test}</p>
  {body}
</main>
</html>
"""
_FORM = """<form method="post">
    <button name="decision" value="decline">Decline</button>
    <button name="decision" value="approve" class="primary">Approve</button>
  </form>"""
_HEADERS = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}


def charge_page(platform: Platform, after: Callable[[ShopRecord], Awaitable[None]]) -> Router:
    """The routes of the page. `after` is called once a decision was made: it sends the webhooks."""

    @get("/store/{store:str}/charges/{number:int}", sync_to_thread=False)
    def show_charge(
        request: Request[Any, Any, Any], store: FromPath[str], number: FromPath[int]
    ) -> Response[bytes]:
        return _page(_charge(opened_shop(platform, request, store), number, platform))

    @post("/store/{store:str}/charges/{number:int}", status_code=200)
    async def decide_on_charge(
        request: Request[Any, Any, Any], store: FromPath[str], number: FromPath[int]
    ) -> Response[bytes]:
        shop = opened_shop(platform, request, store)
        charge = _charge(shop, number, platform)
        form = await request.form()
        try:
            back = _decided(platform, shop, charge, form.get("decision") == "approve")
        except NotApprovable:
            return _page(charge)
        await after(shop)
        return Response(b"", status_code=303, headers={**_HEADERS, "Location": back})

    return Router("/", route_handlers=[show_charge, decide_on_charge])


def _charge(shop: ShopRecord, number: int, platform: Platform) -> Charge:
    shop.charges.pass_time(platform.now())
    charge = shop.charges.find(number)
    if charge is None:
        raise NotFoundException
    return charge


def _decided(platform: Platform, shop: ShopRecord, charge: Charge, is_approved: bool) -> str:
    """Carry the decision out; return where the merchant goes. Raises NotApprovable."""
    decide = shop.charges.approve if is_approved else shop.charges.decline
    changed = decide(charge.number, platform.now())
    platform.events += [ChargeEvent(shop.domain, each.topic, each.number) for each in changed]
    if not is_approved:
        return admin_path(shop.domain)
    joint = "&" if "?" in charge.return_url else "?"
    return f"{charge.return_url}{joint}charge_id={charge.number}"


def _page(charge: Charge) -> Response[bytes]:
    is_open = charge.status == "PENDING" and charge.begins_at is None
    every = {"EVERY_30_DAYS": " every 30 days", "ANNUAL": " a year"}[charge.interval]
    text = _PAGE.format(
        title="Approve charge" if is_open else f"This charge is {charge.status.lower()}",
        name=html.escape(charge.name),
        price=f"{charge.price} {charge.currency}"
        + (every if charge.kind == "AppSubscription" else ""),
        test=" (test charge)" if charge.test else "",
        body=_FORM if is_open else "",
    )
    return Response(text.encode(), media_type="text/html; charset=utf-8", headers=_HEADERS)
