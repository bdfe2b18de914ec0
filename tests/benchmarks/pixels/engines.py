"""The two that are compared, each a warm process, and what it has used of the machine."""

import json
import os
import struct
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyvips
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[3]
TICKS = os.sysconf("SC_CLK_TCK")
PEER_PYTHON = ROOT / ".venv-pixels/bin/python"
PEER = Path(__file__).with_name("peer.py")
# As a file, so that it can run another checkout's code.
OURS = Path(__file__).with_name("ours.py")
SLOTS, PICTURES_PER_SLOT = 2, 2
COMMANDS = {
    "ours": (sys.executable, str(OURS)),
    "peer": (str(PEER_PYTHON), str(PEER), "--all"),
    "peer_finals": (str(PEER_PYTHON), str(PEER)),
    "peer_matting": (str(PEER_PYTHON), str(PEER), "--all", "--matting"),
}


@dataclass(frozen=True)
class Taken:
    """What one picture took: seconds of wall and of CPU, and the peak of memory in MB.

    The CPU is that of the process and its children; the memory that of the one that makes pixels.
    """

    wall: float
    cpu: float
    memory_mb: float
    sizes: dict[str, int]


class Engine:
    """A process that makes catalogue images, one after the other."""

    def __init__(
        self, name: str, *more: str, masks: bool = False, checkout: Path | None = None
    ) -> None:
        self.name, self.masks = name, masks
        self.checkout = root = checkout or ROOT
        started = time.perf_counter()
        self.process = subprocess.Popen(
            [*COMMANDS[name], *more, *(["--masks"] if masks else [])],
            cwd=root,
            env={**os.environ, "PYTHONPATH": str(root), "U2NET_HOME": str(ROOT / ".models/rembg")},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self.process.stdin is not None and self.process.stdout is not None
        self.stdin, self.stdout = self.process.stdin, self.process.stdout
        assert self.stdout.readline() == b"ready\n", f"{name} did not start"
        self.seconds_to_start = time.perf_counter() - started

    def make(self, jpeg: bytes) -> Taken:
        """One picture's files."""
        for pid in self.pids():
            Path(f"/proc/{pid}/clear_refs").write_text("5")  # the peak begins anew
        before = self.cpu_seconds()
        self.send(jpeg)
        answer = self.answer()
        return Taken(
            wall=answer["seconds"],
            cpu=self.cpu_seconds() - before,
            memory_mb=max(peak(pid) for pid in self.pids()),
            sizes=answer["sizes"],
        )

    def mask(self, jpeg: bytes) -> NDArray[np.uint8]:
        """One picture's mask."""
        self.send(jpeg)
        self.answer()
        (length,) = struct.unpack(">I", self.stdout.read(4))
        mask: NDArray[np.uint8] = pyvips.Image.new_from_buffer(self.stdout.read(length), "").numpy()
        return mask

    def send(self, jpeg: bytes) -> None:
        """Ask."""
        self.stdin.write(struct.pack(">I", len(jpeg)) + jpeg)
        self.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """Wait."""
        answer: dict[str, Any] = json.loads(self.stdout.readline())
        return answer

    def pids(self) -> list[int]:
        """The process and its children."""
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [pid, *map(int, children)]

    def cpu_seconds(self) -> float:
        """What all of them have used so far."""
        return sum(ticks(pid) for pid in self.pids()) / TICKS

    def close(self) -> None:
        """End it."""
        self.stdin.close()
        self.process.wait(10)


def ticks(pid: int) -> int:
    """The process's CPU time."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return int(fields[11]) + int(fields[12])


def peak(pid: int) -> float:
    """The most memory that the process has had since the peak was last begun anew, in MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e6
