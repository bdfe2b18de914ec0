"""What holds of the code as a whole."""

import subprocess
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

from litestar import Litestar

from backend.app import create_app
from backend.settings import Settings
from tests.running_app import RunningApp
from webhooks.handlers import HANDLERS
from webhooks.topics import TOPICS

ROOT = Path(__file__).parents[2]
UNGUARDED = {
    "/health/live",
    "/health/ready",
    "/schema",
    "/schema/openapi.json",
    "/schema/{path:str}",  # Litestar's own; answers our 404
}


def test_the_app_subscribes_to_exactly_the_topics_it_handles() -> None:
    config = tomllib.loads((ROOT / "shopify.app.toml").read_text())
    subscribed = [
        topic
        for subscription in config["webhooks"]["subscriptions"]
        for topic in subscription.get("topics", []) + subscription.get("compliance_topics", [])
    ]
    assert sorted(subscribed) == sorted(TOPICS) == sorted(HANDLERS)


def test_the_app_asks_for_the_api_version_it_speaks() -> None:
    from backend.shops.documents import API_VERSION

    config = tomllib.loads((ROOT / "shopify.app.toml").read_text())
    assert config["webhooks"]["api_version"] == API_VERSION


def test_the_web_process_loads_no_pixels() -> None:
    script = "import sys, backend.app; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert pixels_in(loaded.stdout.split()) == []


def pixels_in(modules: Iterable[str]) -> list[str]:
    """Which of the modules need pixels; `renderers` has three that only speak with a child."""
    packages = ("pyvips", "onnxruntime", "numpy", "backend.imaging", "backend.renderers")
    harmless = {f"backend.renderers{name}" for name in ("", ".base", ".local", ".wire")}
    return sorted(
        module
        for module in set(modules) - harmless
        if any(module == package or module.startswith(f"{package}.") for package in packages)
    )


async def test_every_route_but_health_and_the_document_has_exactly_one_guard(
    running_app: RunningApp,
) -> None:
    unguarded = set()
    for route in application(running_app.settings).routes:
        for handler in getattr(route, "route_handlers", []):
            guards = handler.resolve_guards()
            assert len(guards) <= 1, route.path
            if not guards:
                unguarded.add(route.path)
    assert unguarded == UNGUARDED


def application(settings: Settings) -> Litestar:
    """The Litestar application inside the ASGI wrappers."""
    app = create_app(settings).app.app.app  # type: ignore[attr-defined]
    assert isinstance(app, Litestar)
    return app


def test_sql_that_names_no_shop_is_only_in_the_worker() -> None:
    """Outside `worker`, every statement on tenants' rows is built next to the word shop."""
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
            names = ("shop_id", "unfinished(", "still(", "this(", "*scope")
            scoped = any(word in function for word in names)
            if builds and not scoped:
                suspects.append(f"{relative}: {function.splitlines()[0]}")
    assert suspects == []


def functions_of(path: Path) -> list[str]:
    """The source of each function of a module."""
    import ast

    source = path.read_text()
    return [
        ast.get_source_segment(source, node) or ""
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
