"""What the benchmarks share: the settings of their processes, what these use, and their turns."""

import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from backend.shops.token_encryption import generate_key

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
Each = TypeVar("Each")


@dataclass(frozen=True)
class Running:
    """A process of a benchmark."""

    name: str
    pid: int

    @property
    def cpu_seconds(self) -> float:
        """The processor time that the process has used so far."""
        return self._ticks(self.pid, 2) / TICKS

    @property
    def cpu_seconds_of_all(self) -> float:
        """The processor time that it and its children have used so far, those that ended too."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        try:
            ticks = sum(self._ticks(int(pid), 2) for pid in children)
        except (FileNotFoundError, ProcessLookupError):  # one has just ended
            return self.cpu_seconds_of_all
        return (ticks + self._ticks(self.pid, 4)) / TICKS

    @property
    def memory_mb(self) -> float:
        """The memory it occupies."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * PAGE / 1e6

    @property
    def files(self) -> int:
        """The files and sockets it has open."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    @staticmethod
    def _ticks(pid: int, count: int) -> int:
        """The first of: user and system time, and those of children that ended."""
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
        return sum(map(int, fields[11 : 11 + count]))


def settings(database_url: str) -> dict[str, str]:
    """The environment of the processes. No bucket is needed: nobody asks for an object."""
    return {
        "DATABASE_URL": database_url,
        "S3_BUCKET": "bench",
        "S3_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_ACCESS_KEY_ID": "bench",
        "AWS_SECRET_ACCESS_KEY": secrets.token_hex(16),
        "AWS_DEFAULT_REGION": "us-east-1",
        "SHOPIFY_API_KEY": secrets.token_hex(16),
        "SHOPIFY_API_SECRET": secrets.token_hex(16),
        "TOKEN_KEYS": generate_key(),
        "RATE_LIMIT_READS": "10000000/minute",
        "RATE_LIMIT_WRITES": "10000000/minute",
        "PYTHONPATH": str(Path.cwd()),
    }


def turned(names: Sequence[Each], by: int) -> list[Each]:
    """Each round begins with another one."""
    by %= len(names)
    return [*names[by:], *names[:by]]
