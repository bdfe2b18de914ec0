"""Shopify's own page of the app's plans (App Pricing), and where it sends the merchant afterwards.

Only a browser on this machine is answered, as in `embedded_admin`.
"""

import html
from typing import Any

from litestar import Request, Response, Router, get, post
from litestar.exceptions import NotFoundException
from litestar.params import FromPath

from backend.dev.shopify.embedded_admin import admin_path, opened_shop
from backend.dev.shopify.managed_pricing import ManagedPlan
from backend.dev.shopify.state import Platform, ShopRecord

_PRICING_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Choose a plan · Stand-in admin</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/admin-assets/admin.css">
<main>
  <h1>Choose a plan</h1>
  <form method="post">
    {plans}
    {cancel}
    <button name="plan" value="">Back</button>
  </form>
</main>
</html>
"""
_CANCEL = '<button name="cancel" value="yes">Cancel plan</button>'
_HEADERS = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
WELCOME_PATH = "/plan"  # the welcome link that the partner has set for each plan


def pricing_page(platform: Platform) -> Router:
    """The routes of the page."""

    @get("/store/{store:str}/charges/{handle:str}/pricing_plans", sync_to_thread=False)
    def show_plans(
        request: Request[Any, Any, Any], store: FromPath[str], handle: FromPath[str]
    ) -> Response[bytes]:
        shop = _sold_to(platform, request, store, handle)
        page = _page(platform, shop).encode()
        return Response(page, media_type="text/html; charset=utf-8", headers=_HEADERS)

    @post("/store/{store:str}/charges/{handle:str}/pricing_plans", status_code=303)
    async def choose_plan(
        request: Request[Any, Any, Any], store: FromPath[str], handle: FromPath[str]
    ) -> Response[bytes]:
        shop = _sold_to(platform, request, store, handle)
        form = await request.form()
        back = _chosen(platform, shop, str(form.get("plan", "")), is_cancel="cancel" in form)
        return Response(b"", status_code=303, headers={**_HEADERS, "Location": back})

    return Router("/", route_handlers=[show_plans, choose_plan])


def _sold_to(
    platform: Platform, request: Request[Any, Any, Any], store: str, handle: str
) -> ShopRecord:
    shop = opened_shop(platform, request, store)
    if handle != platform.partner.app_handle or not platform.has_app_pricing:
        raise NotFoundException
    shop.contracts.pass_time(platform.now())
    return shop


def _chosen(platform: Platform, shop: ShopRecord, handle: str, *, is_cancel: bool) -> str:
    """Carry the choice out; return where the merchant goes."""
    plan = platform.partner.plan(handle)
    if is_cancel:
        shop.contracts.cancel(platform.now())
    elif plan is not None:
        shop.contracts.choose(plan, platform.now())
        return f"{admin_path(shop.domain, WELCOME_PATH)}?plan_handle={plan.handle}"
    return admin_path(shop.domain, WELCOME_PATH)


def _page(platform: Platform, shop: ShopRecord) -> str:
    contract = shop.contracts.contract
    current = contract.plan if contract else None
    plans = "\n".join(_offer(plan, is_current=plan == current) for plan in platform.partner.plans)
    return _PRICING_PAGE.format(plans=plans, cancel=_CANCEL if contract else "")


def _offer(plan: ManagedPlan, *, is_current: bool) -> str:
    name = html.escape(plan.name)
    button = (
        "Current plan"
        if is_current
        else f'<button name="plan" value="{html.escape(plan.handle)}">Choose {name}</button>'
    )
    return f"<p>{name}: {plan.price} ({plan.interval}) {button}</p>"
