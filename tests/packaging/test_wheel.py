"""The production wheel in a fresh environment, from the lock file: `make wheel`."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from backend.dev.services import LocalServices
from backend.settings import Settings
from tests.flows.processes import environment
from tests.source_tree import ROOT

PORT = "18431"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment with the locked packages and our wheel."""
    directory = tmp_path_factory.mktemp("installed")
    wheels, environment = directory / "wheels", directory / "environment"
    pip = ("-m", "pip", "--disable-pip-version-check", "--quiet")
    checked(
        sys.executable,
        *pip,
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        f"--wheel-dir={wheels}",
        ROOT,
    )
    checked(sys.executable, "-m", "venv", environment)
    python = environment / "bin/python"
    checked(python, *pip, "install", "--require-hashes", "-r", ROOT / "requirements.lock")
    checked(python, *pip, "install", "--no-deps", "--no-index", *wheels.glob("atelier-*.whl"))
    return environment / "bin"


@pytest.fixture
def environ(settings: Settings, services: LocalServices) -> dict[str, str]:
    """The settings of a process, without what would lead it to this tree."""
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    aws = {
        "AWS_ACCESS_KEY_ID": services.s3.access_key,
        "AWS_SECRET_ACCESS_KEY": services.s3.secret_key,
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    return {**inherited, **environment(settings), **aws}


def test_the_command_line_names_its_commands(installed: Path, environ: dict[str, str]) -> None:
    told = run(installed, environ, "--help")
    assert told.returncode == 0
    assert all(f"  {command} " in told.stdout for command in ("demo", "serve", "worker", "migrate"))


@pytest.mark.parametrize("command", ["demo", "dev"])
def test_a_command_for_development_says_in_one_line_what_to_install(
    installed: Path, environ: dict[str, str], command: str
) -> None:
    told = run(installed, environ, command)
    assert told.returncode == 1
    [line] = told.stderr.splitlines()
    assert "pip install ./backend/dev" in line


@pytest.mark.parametrize(("command", "code"), [("serve", 0), ("worker", 0)])
def test_a_process_starts_and_stops(
    installed: Path, environ: dict[str, str], tmp_path: Path, command: str, code: int
) -> None:
    migrated = run(installed, environ, "migrate")
    assert migrated.returncode == 0, migrated.stderr
    log, systemd = tmp_path / "log", tmp_path / "systemd"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told, log.open("wb") as output:
        told.bind(str(systemd))
        told.settimeout(30)
        process = subprocess.Popen(
            [installed / "atelier", command, *(["--port", PORT] if command == "serve" else [])],
            cwd=installed,
            env={**environ, "NOTIFY_SOCKET": str(systemd)},
            stdout=output,
            stderr=output,
        )
        try:
            assert told.recv(100) == b"READY=1", log.read_text()
        finally:
            process.terminate()
            ended = process.wait(60)
    assert ended == code, log.read_text()


def test_the_development_wheel_brings_the_demo(
    installed: Path, environ: dict[str, str], tmp_path: Path
) -> None:
    """Last: it changes the environment. With the versions of the lock file."""
    locked = (ROOT / "requirements-dev.lock").read_text().replace("\\\n", " ").splitlines()
    versions = tmp_path / "versions"
    versions.write_text("\n".join(line.partition("--hash")[0] for line in locked))
    pip = (installed / "python", "-m", "pip", "--disable-pip-version-check", "--quiet")
    checked(*pip, "install", f"--constraint={versions}", ROOT / "backend/dev")
    output = tmp_path / "pictures"
    told = run(installed, environ, "demo", "--json", "--output", str(output))
    assert told.returncode == 0, told.stderr
    assert len(list(output.iterdir())) == 4


def checked(*words: str | Path) -> None:
    """Run a command that has to succeed."""
    told = subprocess.run(
        [str(word) for word in words], capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stderr


def run(
    installed: Path, environ: dict[str, str], *arguments: str
) -> subprocess.CompletedProcess[str]:
    """`atelier …`, from a directory that is not the project's."""
    return subprocess.run(
        [installed / "atelier", *arguments],
        cwd=installed,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
