"""Finds the Chromium that the browser tests run in. As a command it installs Debian's as well.

In this order: `$CHROMIUM`, what is on the path, and what `playwright install chromium` has fetched.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
HOW_TO_INSTALL = (
    "The browser tests need Chromium or Chrome, and found none. Install one: "
    "`apt-get install chromium`, or `.venv/bin/playwright install chromium`; or set CHROMIUM to "
    "the path of its executable. `make page` as root on Debian installs it by itself."
)
# Without a sandbox: root has none, and the pages are our own. Nothing is looked up outside.
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
)


class NoChromium(Exception):
    """There is no browser on this machine; the message says how to get one."""


def chromium_path(fetched: str) -> str:
    """The path of the executable; `fetched` is Playwright's own. Raises `NoChromium`."""
    chosen = os.environ.get("CHROMIUM")
    if chosen:
        if shutil.which(chosen) is None:
            raise NoChromium(f"CHROMIUM={chosen} is not an executable file.")
        return chosen
    for name in NAMES:
        found = shutil.which(name)
        if found is not None:
            return found
    if not Path(fetched).exists():
        raise NoChromium(HOW_TO_INSTALL)
    return fetched


def install_debians() -> None:
    """Install Debian's package. Raises `NoChromium` where that cannot work."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise NoChromium(HOW_TO_INSTALL)
    print("Installing Debian's chromium (once) …", file=sys.stderr)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update"], ["install", "--yes", "--no-install-recommends", "chromium"]):
        ended = subprocess.run(
            ["apt-get", "--quiet", *command],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if ended.returncode != 0:
            last = "\n".join((ended.stdout + ended.stderr).splitlines()[-10:])
            raise NoChromium(f"apt-get {command[0]} failed:\n{last}\n{HOW_TO_INSTALL}")


def main() -> None:
    """Make sure that there is a browser, and print its path; exit with what to do if not."""
    with sync_playwright() as playwright:
        fetched = playwright.chromium.executable_path
    try:
        print(found_or_installed(fetched))
    except NoChromium as error:
        sys.exit(str(error))


def found_or_installed(fetched: str) -> str:
    """The path of the executable, installed if there was none. Raises `NoChromium`."""
    try:
        return chromium_path(fetched)
    except NoChromium:
        if os.environ.get("CHROMIUM"):
            raise  # chosen, but not there
    install_debians()
    return chromium_path(fetched)


if __name__ == "__main__":
    main()
