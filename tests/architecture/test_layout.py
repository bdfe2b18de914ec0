"""Rules for the code as a whole."""

import functools
import os
import subprocess
import sys
import tomllib

from litestar.utils.sync import AsyncCallable

from backend.page.routes import PAGE_PATHS
from tests.benchmarks.running import settings
from tests.running_app import RunningApp
from tests.source_tree import ROOT, functions_of, litestar_app, pixel_modules
from webhooks.handlers import HANDLERS
from webhooks.topics import TOPICS

UNGUARDED = {
    "/health/live",
    "/health/ready",
    "/schema",
    "/schema/openapi.json",
    "/schema/{path:str}",  # Litestar's own; answers our 404
    "/page/{digest:str}/{name:path}",  # the page's code
    *PAGE_PATHS,  # a shell without any shop's data
}


def test_the_app_subscribes_to_exactly_the_handled_topics() -> None:
    config = tomllib.loads((ROOT / "shopify.app.toml").read_text())
    subscribed = [
        topic
        for subscription in config["webhooks"]["subscriptions"]
        for topic in subscription.get("topics", []) + subscription.get("compliance_topics", [])
    ]
    assert sorted(subscribed) == sorted(TOPICS) == sorted(HANDLERS)


def test_the_app_uses_one_api_version() -> None:
    from backend.shops.documents import API_VERSION

    config = tomllib.loads((ROOT / "shopify.app.toml").read_text())
    assert config["webhooks"]["api_version"] == API_VERSION


def test_the_web_process_loads_no_pixel_code() -> None:
    assert pixel_modules(modules_of_the_web_process()) == []


def test_the_web_process_starts_without_modules_that_are_slow_to_import() -> None:
    """Some are imported once it serves, and pydantic with PgQueuer; the others by nobody."""
    loaded = modules_of_the_web_process()
    packages = {module.partition(".")[0] for module in loaded}
    assert packages.isdisjoint({"httpcore", "pgqueuer", "pydantic"})
    assert packages.isdisjoint({"alembic", "attr", "pygments", "rich"})
    assert "cryptography.hazmat.primitives.asymmetric.ec" not in loaded


def test_the_command_line_imports_only_click_until_a_command_runs() -> None:
    loaded = modules_after("import backend.cli")
    packages = {module.partition(".")[0] for module in loaded}
    installed = packages - sys.stdlib_module_names - {"__main__", "backend"}
    assert installed - {"_distutils_hack"} == {"click"}  # the former is setuptools', at each start


@functools.cache
def modules_of_the_web_process() -> list[str]:
    """What is imported when the application has been created."""
    return modules_after("""
import click
from backend.cli.servers import serve, started
with click.Context(serve):
    settings, _ = started("atelier-web", None, end_with_parent=False)
from backend.app import create_app
create_app(settings)
""")


def modules_after(script: str) -> list[str]:
    """What a process has imported that runs the script."""
    loaded = subprocess.run(
        [sys.executable, "-c", f"{script}\nimport sys\nprint(*sys.modules)"],
        cwd=ROOT,
        env={**os.environ, **settings("postgresql://127.0.0.1:9/none")},
        capture_output=True,
        text=True,
        check=True,
    )
    return loaded.stdout.split()


async def test_every_route_but_health_schema_and_page_has_exactly_one_guard(
    running_app: RunningApp,
) -> None:
    unguarded = set()
    for route in litestar_app(running_app.settings).routes:
        for handler in getattr(route, "route_handlers", []):
            guards = handler.resolve_guards()
            assert len(guards) <= 1, route.path
            if not guards:
                unguarded.add(route.path)
    assert unguarded == UNGUARDED, "give the route a guard, or add it to UNGUARDED with a reason"


def test_routes_with_the_same_guard_share_its_counters_and_caches(running_app: RunningApp) -> None:
    """Litestar copies a router, and with it its guard, unless `WebApp` keeps it from that."""
    guards: dict[str, set[int]] = {}
    for route in litestar_app(running_app.settings).routes:
        for handler in getattr(route, "route_handlers", []):
            for guard in handler.resolve_guards():
                guards.setdefault(type(guard).__name__, set()).add(id(guard))
    assert {name: len(found) for name, found in guards.items()} == dict.fromkeys(guards, 1)
    assert {"MerchantGuard", "ProxyGuard", "CallbackGuard", "WebhookGuard"} <= guards.keys()


def test_no_request_waits_for_a_thread_of_its_guard_or_hook(running_app: RunningApp) -> None:
    """Litestar runs those that are not coroutine functions in a thread, for each request."""
    for route in litestar_app(running_app.settings).routes:
        for handler in getattr(route, "route_handlers", []):
            called = [*handler.resolve_guards(), handler.resolve_before_request()]
            assert not any(isinstance(each, AsyncCallable) for each in called), route.path


def test_sql_that_names_no_shop_is_only_in_the_worker() -> None:
    """Architecture rule: outside `worker`, each statement on shops' rows names the shop."""
    suspects = []
    for path in [*ROOT.glob("backend/**/*.py"), *ROOT.glob("webhooks/**/*.py")]:
        relative = path.relative_to(ROOT).as_posix()
        if relative.startswith(("backend/worker/", "backend/dev/")):
            continue
        for function in functions_of(path):
            builds = any(
                f"{verb}({model}" in function
                for verb in ("select", "update", "delete")
                for model in (
                    "Job",
                    "Upload",
                    "Publication",
                    "PublishedMedia",
                    "Batch",
                    "BatchItem",
                )
            )
            names = (
                "shop_id",
                "unfinished(",
                "leased_",
                "batch_key(",
                "publication_key(",
                "*scope",
            )
            scoped = any(word in function for word in names)
            if builds and not scoped:
                suspects.append(f"{relative}: {function.splitlines()[0]}")
    assert suspects == [], "add the shop to the statement, or move it to `backend/worker`"
