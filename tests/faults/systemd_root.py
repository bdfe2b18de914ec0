"""The root directory of a small machine that runs our units, laid out as docs/operations.md says.

Mounted read-only into it: `/usr`, our code, the installed packages and the interpreter. pyenv keeps
interpreters under /root, where `ProtectHome` hides them; it is mounted at /opt/python, and
/opt/atelier has a venv that uses it. Files that are to differ from this machine's are written.
"""

import shutil
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path

PROJECT = Path(__file__).parents[2]
UNITS = sorted((PROJECT / "deploy" / "systemd").iterdir())
CODE = ("backend", "migrations", "webhooks", ".models")
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
DIRECTORIES = (
    *("dev", "etc/atelier", "etc/systemd/system/sockets.target.wants", "home", "old"),
    *("opt", "proc", "root", "run", "sys", "tmp", "usr", "var/lib", "var/log", "var/tmp"),
)
MERGED = ("bin", "sbin", "lib", "lib32", "lib64")  # links into /usr, or directories where they are

FILES = {
    "etc/passwd": "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/usr/sbin/nologin\n",
    "etc/group": "root:x:0:\nwww-data:x:33:\nnogroup:x:65534:\n",
    "etc/nsswitch.conf": "passwd: files systemd\ngroup: files systemd\nhosts: files\n",
    "etc/hosts": "127.0.0.1 localhost\n",
    # The kernel's audit and its log are this machine's.
    "etc/systemd/journald.conf": "[Journal]\nStorage=volatile\nAudit=no\nReadKMsg=no\n",
}
# What the units and their defaults name, without all that a distribution starts by it.
TARGETS = {
    "default": "Requires=sysinit.target sockets.target\nAfter=sysinit.target sockets.target",
    "sysinit": "DefaultDependencies=no",
    "basic": "DefaultDependencies=no",
    "sockets": "DefaultDependencies=no\nWants=systemd-journald.socket",
    "network-online": "DefaultDependencies=no",
    "shutdown": "DefaultDependencies=no",
}
JOURNAL = ("systemd-journald.service", "systemd-journald.socket")

SCRIPT = """#!/opt/atelier/.venv/bin/python
import sys
from backend.cli import main
sys.exit(main())
"""


def made_root(root: Path, environments: Mapping[str, Mapping[str, str]]) -> dict[Path, str]:
    """Write everything that is written; what is to be mounted, and where below the root."""
    mounts = {Path("/usr"): "usr"}
    for name in DIRECTORIES:
        (root / name).mkdir(parents=True)
    for name in ("tmp", "var/tmp"):
        (root / name).chmod(0o1777)
    for name in DEVICES:
        (root / "dev" / name).touch()
    (root / "dev/ptmx").symlink_to("pts/ptmx")  # `PrivateDevices` wants one
    for name, text in FILES.items():
        (root / name).write_text(text)
    mounts |= merged(root)
    write_units(root / "etc/systemd/system")
    write_environments(root / "etc/atelier", environments)
    mounts |= code() | interpreter(root)
    for source, target in mounts.items():
        if source.is_dir():
            (root / target).mkdir(parents=True, exist_ok=True)
    return mounts


def read_only(source: Path, target: str) -> list[str]:
    """The command that mounts it."""
    return ["mount", "--bind", "-o", "ro", str(source), target]


def merged(root: Path) -> dict[Path, str]:
    """Link /bin and the like into /usr as here; mount those that are no links."""
    here = [Path("/", name) for name in MERGED if Path("/", name).exists()]
    for path in here:
        if path.is_symlink():
            (root / path.name).symlink_to(path.readlink())
    return {path: path.name for path in here if not path.is_symlink()}


def write_units(directory: Path) -> None:
    """Our units as they are, the journal's, and targets."""
    for unit in UNITS:
        shutil.copy(unit, directory)
    for name in JOURNAL:
        (directory / name).symlink_to(f"/lib/systemd/system/{name}")
    for name, words in TARGETS.items():
        (directory / f"{name}.target").write_text(f"[Unit]\nDescription={name}\n{words}\n")


def write_environments(directory: Path, environments: Mapping[str, Mapping[str, str]]) -> None:
    """The files of settings, for root's eyes."""
    for name, variables in environments.items():
        path = directory / name
        path.touch(0o600)
        path.write_text("".join(f"{key}={value}\n" for key, value in variables.items()))


def code() -> dict[Path, str]:
    """Our packages, and the weights."""
    return {(PROJECT / name).resolve(): f"opt/atelier/{name}" for name in CODE}


def interpreter(root: Path) -> dict[Path, str]:
    """The Python that runs this, and a venv of what it has installed."""
    prefix, python = Path(sys.base_prefix), Path(sys.executable).resolve()
    is_hidden = not prefix.is_relative_to("/usr")
    if is_hidden:
        python = Path("/opt/python", python.relative_to(prefix))
    venv = root / "opt/atelier/.venv"
    paths = sysconfig.get_paths(vars={"base": str(venv), "platbase": str(venv)})
    installed, scripts = Path(paths["purelib"]), Path(paths["scripts"])
    for directory in (installed, scripts):
        directory.mkdir(parents=True)
    (venv / "pyvenv.cfg").write_text(f"home = {python.parent}\n")
    (scripts / "python").symlink_to(python)
    (scripts / "atelier").write_text(SCRIPT)
    (scripts / "atelier").chmod(0o755)
    # Packages of a .pth are searched, but its own .pth files are not read: ours comes first.
    (installed / "atelier.pth").write_text("/opt/atelier\n/opt/packages\n")
    write_loader_paths(root / "etc", "/opt/python/lib")
    packages = {Path(sysconfig.get_paths()["purelib"]): "opt/packages"}
    return packages | ({prefix: "opt/python"} if is_hidden else {})


def write_loader_paths(etc: Path, libraries: str) -> None:
    """Where `ldconfig` looks: as on this machine, and there for the interpreter's own library."""
    shutil.copytree("/etc/ld.so.conf.d", etc / "ld.so.conf.d")
    (etc / "ld.so.conf.d/python.conf").write_text(f"{libraries}\n")
    (etc / "ld.so.conf").write_text("include /etc/ld.so.conf.d/*.conf\n")
