"""Clients generated from the API's description compile and work: `make clients`."""

import asyncio
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.running_app import RunningApp
from tests.scenarios import open_shared_app
from tests.source_tree import ROOT

shared_app = pytest.fixture(open_shared_app, scope="module")

HERE = Path(__file__).parent
TOOLS = ROOT / ".venv-clients"
EXPECTED = "NOT_STARTED 0 1"  # a new job without images, and a batch of one product


@pytest.fixture
async def directory(shared_app: RunningApp, tmp_path: Path) -> Path:
    """A directory with the document and the programs."""
    answer = await shared_app.http.get("/schema/openapi.json")
    (tmp_path / "openapi.json").write_bytes(answer.content)
    for name in ("package.json", "tsconfig.json", "program.ts", "program.py", "wrong.ts"):
        shutil.copy(HERE / name, tmp_path)
    return tmp_path


def arguments(shared_app: RunningApp) -> tuple[str, ...]:
    """What the programs are started with: the address, a fresh token, a product."""
    token = shared_app.bearer()["Authorization"].removeprefix("Bearer ")
    return str(shared_app.http.base_url).rstrip("/"), token, shared_app.product().gid


async def output_of(directory: Path, *command: object, fails: bool = False) -> str:
    """Run a command there; what it prints. It has to succeed, or to fail if `fails`."""
    words = [str(word) for word in command]
    done = await asyncio.to_thread(
        subprocess.run, words, cwd=directory, capture_output=True, text=True, check=False
    )
    text = done.stdout + done.stderr
    assert (done.returncode != 0) == fails, text
    return text.strip()


async def test_a_typescript_client_compiles_and_works(
    shared_app: RunningApp, directory: Path
) -> None:
    node, modules = shutil.which("node"), TOOLS / "node/node_modules"
    if node is None or not modules.is_dir():
        pytest.skip("needs node and npm (Debian: nodejs, npm), then `make clients`")
    (directory / "node_modules").symlink_to(modules)
    generator = modules / "openapi-typescript/bin/cli.js"
    compiler = modules / "typescript/bin/tsc"
    await output_of(directory, node, generator, "openapi.json", "--output", "api.ts")
    await output_of(directory, node, compiler)
    wrong = await output_of(directory, node, compiler, "--noEmit", "wrong.ts", fails=True)
    assert "'photo' does not exist" in wrong
    assert await output_of(directory, node, "program.js", *arguments(shared_app)) == EXPECTED


async def test_a_python_client_has_every_operation_and_works(
    shared_app: RunningApp, directory: Path
) -> None:
    python = TOOLS / "bin/python"
    if not python.exists():
        pytest.skip("run `make clients`, which installs the generator")
    (directory / "config.yml").write_text(json.dumps({"post_hooks": []}))
    await output_of(
        directory,
        *(TOOLS / "bin/openapi-python-client", "generate", "--path", "openapi.json"),
        *("--output-path", "atelier_client", "--meta", "none", "--config", "config.yml"),
        "--fail-on-warning",
    )
    assert generated(directory / "atelier_client/api") == operations_of(directory)
    await output_of(directory, python, "-m", "mypy", "--strict", "program.py")
    assert await output_of(directory, python, "program.py", *arguments(shared_app)) == EXPECTED


def generated(api: Path) -> set[str]:
    """The operations that the Python client has a module for."""
    return {path.stem for path in api.glob("*/*.py")} - {"__init__"}


def operations_of(directory: Path) -> set[str]:
    """The operations of the document."""
    document: dict[str, Any] = json.loads((directory / "openapi.json").read_text())
    return {
        operation["operationId"]
        for item in document["paths"].values()
        for operation in item.values()
    }
