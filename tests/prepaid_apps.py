"""Running apps that charge, as fixtures: one grants by hand, one sells, one has Shopify sell."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from msgspec.structs import replace

from backend.dev.services import LocalServices
from backend.dev.stack import sell_plans
from backend.renderers.base import Renderer
from tests.conftest import settings_for
from tests.running_app import RunningApp, cloned_database, open_running_app
from tests.scenarios import NoRenderer
from tests.source_tree import ROOT

# The settings of an app that sells the plans and packs of the example.
SELLING: dict[str, Any] = {"billing": "manual", "plans_file": str(ROOT / "deploy" / "plans.toml")}

PARTNER_TOKEN = "the-partner-api-token-of-the-organization"
# The same plans, sold by Shopify: App Pricing.
MANAGED: dict[str, Any] = {
    **SELLING,
    "billing": "app_pricing",
    "shopify_app_handle": "atelier",
    "partner_organization_id": "1000001",
    "partner_app_id": "70000001",
    "partner_api_token": PARTNER_TOKEN,
}


async def open_prepaid_app(services: LocalServices, template: str) -> AsyncIterator[RunningApp]:
    """Charges for jobs, sells nothing and renders nothing."""
    async with running_app_with(services, template, NoRenderer(), billing="manual") as running_app:
        yield running_app


async def open_selling_app(
    services: LocalServices, template: str, renderer: Renderer
) -> AsyncIterator[RunningApp]:
    """Sells plans and packs, and is installed in the first shop."""
    async with running_app_with(services, template, renderer, **SELLING) as running_app:
        await running_app.install()
        yield running_app


@asynccontextmanager
async def running_app_with(
    services: LocalServices, template: str, renderer: Renderer, **changed: Any
) -> AsyncIterator[RunningApp]:
    """An app on a database of its own, with these settings changed."""
    async with cloned_database(services.postgres.url(), template) as url:
        settings = replace(settings_for(services, url), **changed)
        async with open_running_app(settings, renderer) as running_app:
            yield running_app


async def open_managed_app(services: LocalServices, template: str) -> AsyncIterator[RunningApp]:
    """Is on App Pricing, renders nothing, and is installed in the first shop."""
    async with running_app_with(services, template, NoRenderer(), **MANAGED) as running_app:
        sell_plans(running_app.shopify, running_app.settings)
        await running_app.install()
        yield running_app
