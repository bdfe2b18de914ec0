"""The two wheels of the tree: production has no stand-in, no local servers and no tests."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

from tests.commands import COMPLETE_ENVIRONMENT
from tests.source_tree import ROOT

DEVELOPMENT = ROOT / "backend" / "dev"


def files_of_wheel(project: Path) -> set[str]:
    """The paths that the build backend selects for the project's wheel."""
    selected = WheelBuilder(str(project)).recurse_included_files()
    return {Path(file.distribution_path).as_posix() for file in selected}


def project(root: Path) -> dict[str, object]:
    """The `[project]` table of its pyproject.toml."""
    table: dict[str, object] = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    return table


def test_the_production_wheel_has_the_product_and_nothing_of_development() -> None:
    files = files_of_wheel(ROOT)
    assert {path.partition("/")[0] for path in files} == {"backend", "migrations", "webhooks"}
    outside = ("backend/dev", "backend/page/extensions")
    assert {path for path in files if path.startswith(outside)} == set()
    needed = {
        "backend/cli/__main__.py",
        "backend/imaging/mannequins/female.webp",
        "backend/page/static/vendor/preact.js",
        "backend/page/static/vendor/preact.LICENSE",
    }
    assert needed <= files


def test_the_development_wheel_has_the_rest_and_the_same_version() -> None:
    files = files_of_wheel(DEVELOPMENT)
    assert {"backend/dev/demo.py", "backend/dev/shopify/admin.graphql"} <= files
    assert not files & files_of_wheel(ROOT)
    version = project(ROOT)["version"]
    assert project(DEVELOPMENT)["version"] == version
    assert project(DEVELOPMENT)["dependencies"] == [f"atelier[render,embedded]=={version}"]


@pytest.mark.parametrize(
    "arguments",
    [("demo",), ("dev",), ("serve", "--stand-in", "http://127.0.0.1:1")],
    ids=lambda arguments: arguments[0],
)
def test_without_the_development_wheel_a_command_says_what_to_install(
    arguments: tuple[str, ...],
) -> None:
    """As installed from the production wheel: `backend.dev` cannot be imported."""
    script = "import sys; sys.modules['backend.dev'] = None; from backend.cli import main; main()"
    ended = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        env={**COMPLETE_ENVIRONMENT, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    [line] = ended.stderr.splitlines()
    assert "pip install ./backend/dev" in line
