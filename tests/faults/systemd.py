"""A systemd of the test's own: PID 1 of new namespaces, with the units of `deploy/systemd`.

Nothing outside the namespaces changes, and all of it ends with PID 1. Inside, `/opt/atelier` is
this tree with a virtual environment, `/etc/atelier` holds the settings, and the interpreter stands
outside `/root`, which the units hide. The network is the machine's; Postgres and S3 are the test's.
"""

import asyncio
import contextlib
import os
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from backend.settings import Settings
from tests.flows.processes import environment

ROOT = Path(__file__).parents[2]
UNITS = ROOT / "deploy" / "systemd"
SYSTEMD = Path("/lib/systemd/systemd")
NAMESPACES = ("--pid", "--mount", "--uts", "--ipc", "--cgroup", "--fork", "--mount-proc")
# Empty ones, for what the units name. The distribution's own units are not loaded: some of them
# change the kernel's settings, which are the machine's.
TARGETS = ("sysinit", "basic", "sockets", "shutdown", "network-online", "multi-user", "proof")
PYTHON = "/opt/python"
POSTGRES = "/run/postgres-of-the-test"
PORT = ".s.PGSQL.5432"
NOTES = "/run/notes-of-the-test"

INIT = """
set -eu
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup
mkdir /sys/fs/cgroup/systemd
mount -t cgroup -o none,name=systemd cgroup /sys/fs/cgroup/systemd
mount -t tmpfs -o mode=755 tmpfs /opt
mkdir -p {python} /opt/atelier/.venv/lib /opt/atelier/.models
mount --bind {base} {python}
cp -a {home}/venv/. /opt/atelier/.venv/
mkdir -p /opt/atelier/.venv/lib/{version}/site-packages
mount --bind {packages} /opt/atelier/.venv/lib/{version}/site-packages
mount --bind {models} /opt/atelier/.models
for part in backend webhooks migrations; do
    mkdir /opt/atelier/$part
    mount --bind {root}/$part /opt/atelier/$part
done
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/systemd/system /run/lock {socket} {notes}
cp -r {home}/units/. /run/systemd/system/
touch {socket}/{port}
mount --bind {postgres}/{port} {socket}/{port}  # the folder itself is for the server's user alone
mount --bind {home} {notes}
mkdir -p /run/etc/upper /run/etc/work
mount -t overlay -o lowerdir=/etc,upperdir=/run/etc/upper,workdir=/run/etc/work overlay /etc
mkdir -m 700 /etc/atelier
cp {home}/env/*.env /etc/atelier/
mount -t tmpfs -o mode=1777 tmpfs /tmp
export container=atelier-test SYSTEMD_UNIT_PATH=/run/systemd/system
exec {systemd} --system --unit=proof.target --log-target=console --show-status=no
"""


@dataclass
class Machine:
    """The namespaces of one systemd."""

    pid: int  # of systemd, as seen from outside
    log: Path

    @property
    def root(self) -> Path:
        """The file system as it is in there."""
        return Path(f"/proc/{self.pid}/root")

    async def systemctl(self, *words: str, within: float = 90) -> str:
        """What `systemctl` prints in there. Raises when it fails."""
        process = await asyncio.create_subprocess_exec(
            *("nsenter", f"--target={self.pid}", "--mount", "--pid", "--uts", "--ipc", "--cgroup"),
            *("systemctl", *words),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        async with asyncio.timeout(within):
            said, _ = await process.communicate()
        if process.returncode:
            pytest.fail(
                f"systemctl {shlex.join(words)}: {said.decode()}{self.log.read_text()[-3000:]}"
            )
        return said.decode()

    async def facts(self, unit: str, *names: str) -> dict[str, str]:
        """What systemd says of a unit, by property."""
        said = await self.systemctl("show", unit, f"--property={','.join(names)}")
        return dict(line.split("=", 1) for line in said.splitlines() if line)

    async def started_again(self, unit: str, times: int, *, within: float) -> dict[str, str]:
        """The unit's facts once systemd has started it again that often and it is up."""
        async with asyncio.timeout(within):
            while True:
                facts = await self.facts(unit, "NRestarts", "ActiveState", "SubState", "MainPID")
                if int(facts["NRestarts"]) >= times and facts["SubState"] == "running":
                    return facts
                await asyncio.sleep(0.2)

    def outer_pid(self, inner: str) -> int:
        """A process of in there, as it is seen from outside."""
        for status in Path("/proc").glob("[0-9]*/status"):
            with contextlib.suppress(OSError):
                (line,) = re.findall(r"^NSpid:(.+)$", status.read_text(), re.MULTILINE)
                numbers = line.split()
                if len(numbers) > 1 and numbers[1] == inner and self.holds(int(numbers[0])):
                    return int(numbers[0])
        raise LookupError(inner)

    def holds(self, pid: int) -> bool:
        """Whether that process is in these namespaces."""
        ours, theirs = (Path(f"/proc/{each}/ns/pid").readlink() for each in (self.pid, pid))
        return ours == theirs


def reason_to_skip() -> str | None:
    """Why it can't be done here."""
    if os.geteuid() != 0:
        return "needs root, for namespaces"
    missing = [
        name for name in ("unshare", "nsenter", "systemctl", "curl") if not shutil.which(name)
    ]
    if not SYSTEMD.exists() or missing:
        return f"needs systemd ({', '.join(missing) or SYSTEMD})"
    return None


@contextlib.asynccontextmanager
async def running_systemd(settings: Settings) -> AsyncIterator[Machine]:
    """A systemd with the units loaded and none of them started."""
    with tempfile.TemporaryDirectory(prefix="atelier-systemd-") as folder:
        home = Path(folder)
        write_units(home / "units")
        write_environment(home / "env", settings)
        write_venv(home / "venv")
        (home / "init").write_text(init(home, settings))
        log = home / "log"
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                *("unshare", *NAMESPACES, "--kill-child", "bash", str(home / "init")),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            yield await booted(process, log)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()  # and with it PID 1 of the namespace, and so all that runs in it
            await process.wait()


async def booted(process: asyncio.subprocess.Process, log: Path) -> Machine:
    """The machine once its systemd answers."""
    async with asyncio.timeout(20):
        while process.returncode is None:
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            if children:
                machine = Machine(int(children[0]), log)
                if (machine.root / "run/systemd/private").exists():
                    await machine.systemctl("start", "proof.target")
                    return machine
            await asyncio.sleep(0.05)
    pytest.fail(f"systemd did not start: {log.read_text()[-3000:]}")


def write_units(folder: Path) -> None:
    """The project's units as they are, and empty targets for what they name."""
    shutil.copytree(UNITS, folder)
    (folder / "service.d").mkdir()  # there is no journal in there
    (folder / "service.d" / "log.conf").write_text(
        f"[Service]\nStandardOutput=append:{NOTES}/log\nStandardError=append:{NOTES}/log\n"
    )
    for target in TARGETS:
        (folder / f"{target}.target").write_text(f"[Unit]\nDescription={target}\n")


def write_environment(folder: Path, settings: Settings) -> None:
    """The files that the units read, as docs/operations.md says."""
    folder.mkdir()
    machine = {"PYTHONPATH": "/opt/atelier", "LD_LIBRARY_PATH": f"{PYTHON}/lib"}
    shared = {**environment(settings), **machine, "DATABASE_URL": inner_url(settings.database_url)}
    keys = {name: os.environ[name] for name in os.environ if name.startswith("AWS_")}
    for name, values in {
        "atelier": shared,
        "web": keys,
        "worker": keys,
        "migrate": {"DATABASE_URL": shared["DATABASE_URL"], **machine},
    }.items():
        (folder / f"{name}.env").write_text(lines(values))


def lines(values: Mapping[str, str]) -> str:
    """As systemd reads them."""
    return "".join(f'{name}="{value}"\n' for name, value in values.items())


def write_venv(folder: Path) -> None:
    """What `python -m venv` and `pip install .` leave, but for the packages."""
    (folder / "bin").mkdir(parents=True)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    (folder / "pyvenv.cfg").write_text(f"home = {PYTHON}/bin\n")
    (folder / "bin" / "python").symlink_to(f"{PYTHON}/bin/{version}")
    script = folder / "bin" / "atelier"
    script.write_text(
        "#!/opt/atelier/.venv/bin/python\nimport sys\n\nfrom backend.cli import main\n\n"
        "sys.exit(main())\n"
    )
    script.chmod(0o755)


def init(home: Path, settings: Settings) -> str:
    """What runs before systemd, in the namespaces."""
    packages = next(Path(path) for path in sys.path if path.endswith("site-packages"))
    return INIT.format(
        home=home,
        root=ROOT,
        base=sys.base_prefix,
        python=PYTHON,
        version=packages.parent.name,
        packages=packages,
        models=(ROOT / ".models").resolve(),
        postgres=socket_folder(settings.database_url),
        socket=POSTGRES,
        port=PORT,
        notes=NOTES,
        systemd=SYSTEMD,
    )


def socket_folder(url: str) -> str:
    """Where the test's Postgres listens."""
    return unquote(parse_qs(urlsplit(url).query)["host"][0])


def inner_url(url: str) -> str:
    """The same database as it is reached in there."""
    parts = urlsplit(url)
    return parts._replace(query=f"host={POSTGRES}").geturl()
