"""The page's static files: read once, gzipped at their first use, named by their digest.

The digest of all files is a folder of their URLs, so that browsers may keep them for ever: the
page of another release names another folder.
"""

import functools
import gzip
import hashlib
import mimetypes
import posixpath
import re
from collections.abc import Mapping
from pathlib import Path

import msgspec

STATIC = Path(__file__).parent / "static"
SERVED_SUFFIXES = frozenset({".js", ".json", ".LICENSE"})
# A comment on lines of its own. Types in JSDoc are a quarter of what would be sent.
COMMENT = re.compile(rb"^[ \t]*(?://[^\n]*|/\*(?:(?!\*/).)*\*/[ \t]*)$", re.MULTILINE | re.DOTALL)
IMPORTED = re.compile(r'^(?:import|export)\b[^;(]*?"(\.[^"]+)"', re.MULTILINE)


class StaticFile(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """One file."""

    media_type: str
    plain: bytes

    @functools.cached_property
    def gzipped(self) -> bytes:
        """The compressed file."""
        return gzip.compress(self.plain, 9, mtime=0)


class StaticFiles(msgspec.Struct, frozen=True, kw_only=True):
    """All files by their path, and the digest of all."""

    digest: str
    files: Mapping[str, StaticFile]

    @property
    def base(self) -> str:
        """The path of their folder."""
        return f"/page/{self.digest}"

    def modules(self, *names: str) -> list[str]:
        """The modules and all that they import statically, in the order of their discovery."""
        found = [*names]
        for name in found:  # which grows meanwhile
            found += [path for path in imported_by(name) if path not in found]
        return found


@functools.cache
def static_files() -> StaticFiles:
    """The files of this release."""
    paths = sorted(path for path in STATIC.rglob("*") if path.suffix in SERVED_SUFFIXES)
    names = {path.relative_to(STATIC).as_posix(): path for path in paths}
    bodies = {name: served_bytes(name, path.read_bytes()) for name, path in names.items()}
    digest = hashlib.sha256()
    for name, body in bodies.items():
        digest.update(f"{name}\0{len(body)}\0".encode() + body)
    return StaticFiles(
        digest=digest.hexdigest()[:16],
        files={name: static_file(name, body) for name, body in bodies.items()},
    )


def served_bytes(name: str, body: bytes) -> bytes:
    """The file without the comments of our own code; its lines keep their numbers."""
    if not name.endswith(".js") or name.startswith("vendor/"):  # these begin with their licence
        return body
    return COMMENT.sub(lambda comment: b"\n" * comment[0].count(b"\n"), body)


def static_file(name: str, body: bytes) -> StaticFile:
    """The file, with its media type."""
    guessed, _ = mimetypes.guess_type(name)
    return StaticFile(
        # Not the machine's own table of types, which may call JavaScript something else.
        media_type="text/javascript" if name.endswith(".js") else guessed or "text/plain",
        plain=body,
    )


@functools.cache
def imported_by(name: str) -> list[str]:
    """The modules that a module imports statically, once each."""
    folder = posixpath.dirname(name)
    found = IMPORTED.findall(static_files().files[name].plain.decode())
    return [posixpath.normpath(posixpath.join(folder, path)) for path in dict.fromkeys(found)]
