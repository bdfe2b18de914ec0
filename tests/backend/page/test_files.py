"""The page's static files: kept for ever by browsers, and small."""

import gzip
import hashlib
import re

import httpx
import pytest

from backend.page.files import STATIC, static_files
from backend.page.routes import PAGE_PATHS, accepts_gzip
from tests.source_tree import ROOT

MAX_OWN_BYTES, MAX_OWN_FILES = 30_000, 14
MAX_SHELL_BYTES = 4_000
# dist/preact.mjs of npm's preact 11.2.0, unchanged.
PREACT_SHA256 = "bdcbd9abdf2c77c5c45326eab42191e949222d479d0d5f69467387a77040cb55"
FILES = static_files()


async def test_a_file_is_immutable_and_gzipped(page: httpx.AsyncClient) -> None:
    response = await page.get(f"{FILES.base}/main.js", headers={"Accept-Encoding": "br, gzip"})
    assert response.status_code == 200
    assert response.content == (STATIC / "main.js").read_bytes()
    assert response.headers["content-encoding"] == "gzip"
    assert response.headers["content-type"].startswith("text/javascript")
    assert response.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert response.headers["vary"] == "Accept-Encoding"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert "set-cookie" not in response.headers


async def test_a_client_without_gzip_gets_the_plain_file(page: httpx.AsyncClient) -> None:
    response = await page.get(f"{FILES.base}/main.js", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in response.headers
    assert response.content == (STATIC / "main.js").read_bytes()


@pytest.mark.parametrize(
    ("accepted", "expected"),
    [
        ("gzip", True),
        ("deflate, GZIP;q=0.5", True),
        ("gzip;q=0", False),
        ("gzip; q=0.00, br", False),
        ("x-gzip", False),
        ("", False),
    ],
)
def test_gzip_has_to_be_accepted(accepted: str, expected: bool) -> None:
    assert accepts_gzip(accepted) is expected


@pytest.mark.parametrize(
    "path",
    [
        "/page/0000000000000000/main.js",
        f"{FILES.base}/missing.js",
        f"{FILES.base}/../routes.py",
        f"{FILES.base}/%2e%2e/routes.py",
        f"{FILES.base}/views",
        f"{FILES.base}/",
        FILES.base,
        "/page",
    ],
)
async def test_an_unknown_file_is_a_404(page: httpx.AsyncClient, path: str) -> None:
    response = await page.get(path)
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "NOT_FOUND"
    assert "immutable" not in response.headers["cache-control"]


async def test_head_of_a_file_has_no_body(page: httpx.AsyncClient) -> None:
    response = await page.head(f"{FILES.base}/main.js")
    assert response.status_code == 200 and response.content == b""


def test_the_shell_preloads_all_modules() -> None:
    modules = {name for name in FILES.files if name.endswith(".js")}
    assert set(FILES.modules("main.js")) == modules, "a module is unused, or is not preloaded"


def test_the_browser_has_a_screen_for_each_address() -> None:
    """`router.js` and the server's routes are the same list."""
    source = (STATIC / "router.js").read_text()
    table = source.partition("const ROUTES = [")[2].partition("\n];")[0]
    found = {
        text.replace("\\/", "/").replace("${ULID}", "{}")
        for text in re.findall(r"\^(.*?)\$[/`]", table)
    }
    assert found == {re.sub(r"\{.*\}", "{}", path) for path in PAGE_PATHS}


async def test_the_page_is_small(page: httpx.AsyncClient) -> None:
    """The budget: the merchant waits for these bytes before anything is shown."""
    own = [name for name in FILES.files if name.endswith(".js") and not name.startswith("vendor/")]
    total = sum(len(gzip.compress(FILES.files[name].plain, 9)) for name in own)
    shell = await page.get("/")
    assert len(own) <= MAX_OWN_FILES, own
    assert total <= MAX_OWN_BYTES
    assert len(shell.content) <= MAX_SHELL_BYTES


def test_the_vendored_library_is_unchanged_and_licensed() -> None:
    vendored = (STATIC / "vendor" / "preact.js").read_bytes()
    assert hashlib.sha256(vendored).hexdigest() == PREACT_SHA256
    assert "MIT" in (STATIC / "vendor" / "preact.LICENSE").read_text()
    assert "preact 11.2.0" in (ROOT / "NOTICE").read_text()
