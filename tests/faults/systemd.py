"""A real systemd as PID 1 of namespaces of its own, with the root directory of `systemd_root`.

For root on Linux with systemd installed, whether or not systemd runs the machine. The network is
this machine's, for the S3 server and the stand-in Shopify. Kernel settings and this machine's files
are read-only in there; its control group is one of its own, removed at the end. Tried with version
1 of control groups; with version 2, where there were no controllers, it started.
"""

import asyncio
import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.faults.systemd_root import DEVICES, made_root, read_only

SYSTEMD = Path("/lib/systemd/systemd")
TOOLS = ("unshare", "nsenter", "pivot_root", "ldconfig", "systemctl", "journalctl", "curl")
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
ENVIRONMENT = (f"PATH={PATH}", "container=test", "SYSTEMD_UNIT_PATH=/etc/systemd/system")
NAMESPACES = ("--mount", "--pid", "--uts", "--ipc", "--cgroup")
CGROUPS = Path("/sys/fs/cgroup")
# Where version 1 of control groups mounts each hierarchy that systemd or our units want, and how.
HIERARCHIES = {
    "systemd": ["-t", "cgroup", "-o", "none,name=systemd"],
    "unified": ["-t", "cgroup2"],
    "memory": ["-t", "cgroup", "-o", "memory"],
    "pids": ["-t", "cgroup", "-o", "pids"],
    "devices": ["-t", "cgroup", "-o", "devices"],
}
BOOT = 20  # seconds


@dataclass(frozen=True)
class Machine:
    """A systemd that has started; `pid` is its PID 1 as this machine counts."""

    pid: int

    async def run(self, *command: str) -> str:
        """What a command says in there. Raises `AssertionError` when it fails."""
        process = await asyncio.create_subprocess_exec(
            *("nsenter", "--target", str(self.pid), "--all", "--", *command),
            env={"PATH": PATH, "LC_ALL": "C.UTF-8"},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        said, complaint = await process.communicate()
        assert process.returncode == 0, f"{shlex.join(command)}: {complaint.decode()}"
        return said.decode()

    async def systemctl(self, *words: str) -> float:
        """`systemctl WORDS`; how long it took, in seconds. A failure tells the units' log."""
        begun = time.monotonic()
        try:
            await self.run("systemctl", *words)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{await self.journal()}") from None
        return time.monotonic() - begun

    async def show(self, unit: str, name: str) -> str:
        """A property of a unit."""
        return (await self.run("systemctl", "show", "--value", f"--property={name}", unit)).strip()

    async def until(self, unit: str, name: str, *wanted: str, within: float = 60) -> None:
        """Wait until the property has one of these values."""
        async with asyncio.timeout(within):
            while await self.show(unit, name) not in wanted:
                await asyncio.sleep(0.1)

    async def journal(self) -> str:
        """What our units have said, and systemd about them."""
        return await self.run("journalctl", "--no-pager", "--output=cat", "--unit=atelier-*")

    async def memory_limit(self, group: str) -> int:
        """The limit that the kernel holds a control group to, in bytes."""
        version_1 = ("memory", "memory.limit_in_bytes")
        hierarchy, name = ("", "memory.max") if is_version_2() else version_1
        return int(await self.run("cat", f"{CGROUPS}/{hierarchy}{group}/{name}"))

    def client(self, instance: int) -> httpx.AsyncClient:
        """A client on the unix socket of a web unit."""
        path = f"/proc/{self.pid}/root/run/atelier/web-{instance}.sock"
        transport = httpx.AsyncHTTPTransport(uds=path)
        return httpx.AsyncClient(base_url="http://atelier", transport=transport, timeout=30)


@contextlib.asynccontextmanager
async def booted(environments: Mapping[str, Mapping[str, str]]) -> AsyncIterator[Machine]:
    """systemd with our units, none of them started; all gone when the block ends.

    `environments` are the variables of each file in /etc/atelier, by its name. Skips the test where
    no systemd can be started.
    """
    require_what_it_takes()
    with (
        tempfile.TemporaryDirectory(prefix="atelier-systemd-", ignore_cleanup_errors=True) as home,
        control_groups() as groups,
    ):
        root = Path(home, "root")
        mounts = made_root(root, environments)
        process = await asyncio.create_subprocess_exec(
            *("sh", "-euc", joining(groups), "sh", "unshare", *NAMESPACES, "--fork"),
            *("--kill-child", "sh", "-euc", boot(root, mounts)),
            env={"PATH": PATH},
            stdin=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            yield await running(process)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGKILL)  # the kernel ends all that it had started
            await process.wait()


def require_what_it_takes() -> None:
    """Skip where there is no systemd, or nobody may start it."""
    missing = [tool for tool in TOOLS if shutil.which(tool, path=PATH) is None]
    if not SYSTEMD.exists() or missing:
        pytest.skip(f"no systemd here, or not all that goes with it: {missing}")
    if os.getuid() != 0:
        pytest.skip("only root can start systemd in namespaces of its own")
    trial = ["unshare", *NAMESPACES, "--fork", "mount", "-t", "proc", "proc", "/proc"]
    tried = subprocess.run(trial, capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"no namespaces can be made here: {tried.stderr.strip()}")


@contextlib.contextmanager
def control_groups() -> Iterator[list[Path]]:
    """A new control group in each hierarchy, below our own; with version 2, beside our own.

    There a group that has processes cannot pass controllers on to its children.
    """
    name = f"atelier-{uuid.uuid4().hex[:12]}"
    groups = [parent / name for parent in parents()]
    try:
        for group in groups:
            group.mkdir()
        yield groups
    finally:
        for group in groups:
            remove(group)


def parents() -> Iterator[Path]:
    """The control groups in which to make ours."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        hierarchy = controllers.removeprefix("name=") or "unified"
        if is_version_2() and hierarchy == "unified":
            yield (CGROUPS / path.lstrip("/")).parent if path != "/" else CGROUPS
        elif not is_version_2() and hierarchy in HIERARCHIES:
            yield CGROUPS / hierarchy / path.lstrip("/")


def is_version_2() -> bool:
    """Whether there is one hierarchy for everything."""
    return (CGROUPS / "cgroup.controllers").exists()


def remove(group: Path) -> None:
    """Remove a control group with all below it, as soon as its last process is gone."""
    deadline = time.monotonic() + 10
    below = sorted((path for path in group.rglob("*") if path.is_dir()), reverse=True)
    for each in (*below, group):
        while each.exists():
            try:
                each.rmdir()
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)


def joining(groups: list[Path]) -> str:
    """The shell's words: join these control groups, then become the command."""
    joins = [f"echo $$ > {shlex.quote(str(group))}/cgroup.procs" for group in groups]
    return "\n".join([*joins, 'exec "$@"'])


def boot(root: Path, mounts: Mapping[Path, str]) -> str:
    """The shell's words inside the namespaces: mount everything, change the root, be systemd."""
    commands = [
        ["mount", "--bind", str(root), str(root)],
        ["cd", str(root)],
        ["mount", "-t", "proc", "proc", "proc"],
        read_only(Path("/proc/sys"), "proc/sys"),
        read_only(Path("/sys"), "sys"),
        ["mount", "--bind", "dev", "dev"],  # or systemd would mount this machine's
        *(["mount", "--bind", f"/dev/{name}", f"dev/{name}"] for name in DEVICES),
        *cgroup_mounts(),
        *(read_only(source, target) for source, target in mounts.items()),
        ["pivot_root", ".", "old"],
        ["cd", "/"],
        ["umount", "-l", "/old"],
        ["ldconfig"],
        ["exec", "env", "-i", *ENVIRONMENT, str(SYSTEMD), "--system", "--show-status=no"],
    ]
    return "\n".join(map(shlex.join, commands))


def cgroup_mounts() -> list[list[str]]:
    """Mount the control groups that this namespace sees."""
    if is_version_2():
        return [["mount", "-t", "cgroup2", "cgroup2", "sys/fs/cgroup"]]
    commands = [["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "sys/fs/cgroup"]]
    for name, how in HIERARCHIES.items():
        if (CGROUPS / name).exists():
            place = f"sys/fs/cgroup/{name}"
            commands += [["mkdir", place], ["mount", *how, "cgroup", place]]
    return commands


async def running(process: asyncio.subprocess.Process) -> Machine:
    """The machine, once systemd has reached its default target."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    async with asyncio.timeout(BOOT):
        while True:
            assert process.returncode is None, "systemd did not start"
            for pid in children.read_text().split():
                machine = Machine(int(pid))
                with contextlib.suppress(AssertionError):
                    await machine.run("systemctl", "--quiet", "is-active", "default.target")
                    return machine
            await asyncio.sleep(0.1)
