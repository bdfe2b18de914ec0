"""The repository's files and modules, for tests of its structure."""

import ast
import gc
from collections.abc import Iterable, Iterator
from pathlib import Path

from litestar import Litestar

from backend.app import create_app
from backend.settings import Settings

ROOT = Path(__file__).parents[1]


def pixel_modules(modules: Iterable[str]) -> list[str]:
    """Which of the modules need pixels; `renderers` has three that only speak with a child."""
    packages = (
        "pyvips",
        "onnxruntime",
        "openvino",
        "numpy",
        "backend.imaging",
        "backend.renderers",
    )
    harmless = {f"backend.renderers{name}" for name in ("", ".base", ".local", ".wire")}
    return sorted(
        module
        for module in set(modules) - harmless
        if any(module == package or module.startswith(f"{package}.") for package in packages)
    )


def litestar_app(settings: Settings) -> Litestar:
    """The Litestar application inside the ASGI wrappers."""
    app = create_app(settings).app.app.app.app.app  # type: ignore[attr-defined]
    assert isinstance(app, Litestar)
    return app


def product_modules() -> Iterator[tuple[str, ast.Module]]:
    """Each module of `backend` and `webhooks`: its path, and its syntax tree."""
    for package in ("backend", "webhooks"):
        for path in sorted((ROOT / package).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix(), syntax_tree(path.read_text())


def syntax_tree(source: str) -> ast.Module:
    """Parse a module. CPython 3.11 raises `SystemError` if a finalizer runs meanwhile."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        return ast.parse(source)
    finally:
        if was_enabled:
            gc.enable()


def functions_of(path: Path) -> list[str]:
    """The source of each function of a module."""
    source = path.read_text()
    return [
        ast.get_source_segment(source, node) or ""
        for node in ast.walk(syntax_tree(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
