"""The services of compose.yaml on this machine, without a container engine.

Each of ours is the image's root directory, mounted read-only, with namespaces of its own for mounts
and processes, the user and the privileges of compose.yaml, and a writable /tmp. What a network of
containers does is done by an address on loopback for each service and a hosts file. Resource limits
are compose's and the kernel's, and are not here.
"""

import asyncio
import json
import os
import re
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.source_tree import ROOT

ADDRESSES = {
    "web-1": "127.0.13.1",
    "web-2": "127.0.13.2",
    "worker": "127.0.13.3",
    "postgres": "127.0.13.4",
    "seaweedfs": "127.0.13.5",
    "nginx": "127.0.13.6",
    "migrate": "127.0.13.7",
    "bucket": "127.0.13.8",
}
DEVICES = ("null", "zero", "random", "urandom")

# $1: root directory, $2: hosts file, $3: SOURCE:TARGET to mount, or nothing; then the command.
ENTER = """
set -eu
root=$1 hosts=$2 extra=$3
shift 3
mount --make-rprivate /
mount --bind "$root" "$root"
mount -t tmpfs tmpfs "$root/dev"
for name in {devices}; do
    touch "$root/dev/$name"; mount --bind "/dev/$name" "$root/dev/$name"
done
mount --bind "$hosts" "$root/etc/hosts"
if [ -n "$extra" ]; then
    touch "$root/${{extra##*:}}"; mount --bind "${{extra%%:*}}" "$root/${{extra##*:}}"
fi
mount -o remount,bind,ro "$root"
mount -t tmpfs -o size=512m,mode=1777,nosuid,nodev,noexec tmpfs "$root/tmp"
mount -t proc proc "$root/proc"
exec chroot "$root" setpriv --reuid {user} --regid {group} --clear-groups --no-new-privs \\
    --bounding-set=-all --inh-caps=-all -- "$@"
"""


@dataclass(frozen=True)
class Image:
    """What buildah has built: its files, and what it says of running them."""

    root: Path
    config: Mapping[str, Any]

    @classmethod
    def read(cls, directory: Path) -> "Image":
        """The image that `build_image.sh` has left in the directory."""
        told = json.loads((directory / "config.json").read_text())
        return cls((directory / "root").resolve(), told["Docker"]["config"])


def services(environ: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """The services of compose.yaml, with the variables in it replaced."""
    text = (ROOT / "compose.yaml").read_text()
    text = re.sub(
        r"(?<!\$)\$\{(\w+)(?::([-?])([^}]*))?\}",
        lambda found: environ.get(found[1]) or (found[3] if found[2] == "-" else ""),
        text,
    )
    return dict(yaml.safe_load(text.replace("$$", "$"))["services"])


@dataclass(frozen=True)
class Composed:
    """A machine that runs services of compose.yaml."""

    image: Image
    home: Path
    secrets: Path
    services: Mapping[str, dict[str, Any]]
    running: dict[str, asyncio.subprocess.Process] = field(default_factory=dict)

    def environment(self, name: str) -> dict[str, str]:
        """What the service finds in its environment."""
        service = self.services[name]
        files = [self.secrets / Path(file).name for file in service.get("env_file", ())]
        lines = [line for file in files for line in file.read_text().splitlines()]
        image = self.image.config["Env"]
        found = dict(line.split("=", 1) for line in [*image, *lines])
        return (
            {**found, **{key: str(value) for key, value in service["environment"].items()}}
            if ("environment" in service)
            else found
        )

    def command(self, name: str, *instead: str) -> list[str]:
        """The program and its arguments; `instead` runs something else in the same place."""
        service = self.services[name]
        config = self.image.config
        asked = [*service.get("entrypoint", config["Entrypoint"]), *service.get("command", ())]
        words = [word.replace("0.0.0.0", ADDRESSES[name]) for word in (instead or asked)]
        assert service["read_only"] and service["cap_drop"] == ["ALL"]
        user, group = config["User"].split(":")
        script = ENTER.format(devices=" ".join(DEVICES), user=user, group=group)
        variables = {
            key: value.replace("0.0.0.0", ADDRESSES[name])
            for key, value in self.environment(name).items()
        }
        inside = ["env", "-i", "-C", config["WorkingDir"]]
        inside += [f"{key}={value}" for key, value in variables.items()]
        mounts = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
        volumes = service.get("volumes", [""])[0].removesuffix(":ro")
        extra = volumes.replace("./", f"{ROOT}/", 1)
        place = [str(self.image.root), str(self.home / "hosts"), extra]
        return [*mounts, "sh", "-c", script, "sh", *place, *inside, *words]

    async def start(self, name: str, *instead: str) -> asyncio.subprocess.Process:
        """Start a command in the service's place; its output goes to a file."""
        with (self.home / f"{name}.log").open("ab") as log:
            return await asyncio.create_subprocess_exec(
                *self.command(name, *instead),
                env={"PATH": os.environ["PATH"]},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    async def up(self, name: str) -> None:
        """Start the service."""
        self.running[name] = await self.start(name)

    async def stop(self, name: str) -> int:
        """SIGTERM to the service's first process, as a container engine does; its exit code."""
        process = self.running.pop(name)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        for child in children.read_text().split():
            os.kill(int(child), signal.SIGTERM)
        grace = float(self.services[name]["stop_grace_period"].removesuffix("s"))
        return await asyncio.wait_for(process.wait(), grace)

    async def finished(self, name: str, *instead: str) -> tuple[int, str]:
        """Run to the end; the exit code and what was said."""
        log = self.home / f"{name}.log"
        before = len(log.read_text()) if log.exists() else 0
        code = await asyncio.wait_for((await self.start(name, *instead)).wait(), 120)
        return code, log.read_text()[before:]

    async def healthy(self, name: str, *, within: float = 60) -> None:
        """Wait until the service's healthcheck passes."""
        check = self.services[name].get("healthcheck", {}).get("test")
        words = (check or self.image.config["Healthcheck"]["Test"])[1:]
        words = [word.replace("127.0.0.1", ADDRESSES[name]) for word in words]
        async with asyncio.timeout(within):
            while (await self.finished(name, *words))[0] != 0:
                await asyncio.sleep(0.3)
