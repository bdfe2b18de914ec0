"""docs/getting-started.md: its commands, as they stand there, from start to download."""

import asyncio
import os
import re
import signal
from pathlib import Path

import psutil
import pytest

from tests.commands import ROOT, assert_nothing_left, make_service_directory

DOCUMENT = ROOT / "docs" / "getting-started.md"
BLOCK = re.compile(r"(<!-- not run by the test -->\n)?^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)

service_directory = pytest.fixture(make_service_directory)


def test_only_what_needs_other_machines_is_left_out() -> None:
    skipped = [body for mark, body in BLOCK.findall(DOCUMENT.read_text()) if mark]
    assert [body.split()[0] for body in skipped] == ["git", "atelier"]


@pytest.mark.slow
async def test_the_commands_lead_to_images_of_ones_own_photo(
    service_directory: Path, tmp_path: Path
) -> None:
    for name in (".venv", "tests"):
        (tmp_path / name).symlink_to(ROOT / name)
    commands = [body for mark, body in BLOCK.findall(DOCUMENT.read_text()) if not mark]
    assert len(commands) == 7
    shell = await asyncio.create_subprocess_exec(
        *("bash", "-euo", "pipefail", "-c", "\n".join([*commands, "kill %1", "wait %1 || true"])),
        cwd=tmp_path,
        env={
            **{n: v for n, v in os.environ.items() if not n.startswith(("SHOPIFY_", "AWS_"))},
            "PYTHONPATH": str(ROOT),
            "TMPDIR": str(service_directory),
            "PHOTO": str(ROOT / "tests" / "data" / "garments" / "tee_navy.jpg"),
        },
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        out, err = await asyncio.wait_for(shell.communicate(), 110)
    finally:
        stop_session(shell.pid)
    assert shell.returncode == 0, err.decode()
    assert out.decode().splitlines()[-3:] == [
        "SUCCESS",
        "demo-output/mine_2048.jpeg pass",
        "demo-output/mine_1024.webp pass",
    ]
    assert (tmp_path / "demo-output" / "mine_2048.jpeg").read_bytes()[:3] == b"\xff\xd8\xff"
    assert_nothing_left(service_directory, [])


def stop_session(leader: int) -> None:
    """Stop what the shell has left running, if it ended early."""
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == leader:
                process.send_signal(signal.SIGTERM)
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
