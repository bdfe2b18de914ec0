"""The page's static files: kept for ever by browsers, and small."""

import hashlib
import re

import httpx
import pytest

from backend.page.files import STATIC, served_bytes, static_files
from backend.page.routes import PAGE_PATHS, SCREEN_MODULES, accepts_gzip
from tests.source_tree import ROOT

MAX_OWN_BYTES, MAX_OWN_FILES = 30_000, 15
MAX_SHELL_BYTES = 4_000
# dist/preact.mjs of npm's preact 11.2.0, unchanged.
PREACT_SHA256 = "bdcbd9abdf2c77c5c45326eab42191e949222d479d0d5f69467387a77040cb55"
FILES = static_files()


async def test_a_file_is_immutable_and_gzipped(page: httpx.AsyncClient) -> None:
    response = await page.get(f"{FILES.base}/main.js", headers={"Accept-Encoding": "br, gzip"})
    assert response.status_code == 200
    assert response.content == served_bytes("main.js", (STATIC / "main.js").read_bytes())
    assert response.headers["content-encoding"] == "gzip"
    assert response.headers["content-type"].startswith("text/javascript")
    assert response.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert response.headers["vary"] == "Accept-Encoding"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert "set-cookie" not in response.headers


async def test_a_client_without_gzip_gets_the_plain_file(page: httpx.AsyncClient) -> None:
    response = await page.get(f"{FILES.base}/main.js", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in response.headers
    assert response.content == served_bytes("main.js", (STATIC / "main.js").read_bytes())


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


def test_every_module_belongs_to_a_screen() -> None:
    modules = {name for name in FILES.files if name.endswith(".js")}
    views = [(STATIC / module).read_text() for module in FILES.modules(*SCREEN_MODULES.values())]
    later = {
        f"views/{name}"
        for view in views
        for name in re.findall(r'await import\("\./(.*?)"\)', view)
    }
    used = FILES.modules("main.js", *SCREEN_MODULES.values(), *later)
    assert set(used) == modules, "one is unused"


def test_the_shell_preloads_what_the_browser_imports() -> None:
    """`main.js` loads the same module for an address as the server has it preload."""
    entry = (STATIC / "main.js").read_text()
    assert set(re.findall(r'import\("\./(.*?)"\)', entry)) == set(SCREEN_MODULES.values())


def test_the_browser_has_a_screen_for_each_address() -> None:
    """`router.js` and the server's routes are the same list."""
    source = (STATIC / "router.js").read_text()
    table = source.partition("const ROUTES = [")[2].partition("\n];")[0]
    found = {
        text.replace("\\/", "/").replace("${ULID}", "{}")
        for text in re.findall(r"\^(.*?)\$[/`]", table)
    }
    assert found == {re.sub(r"\{.*\}", "{}", path) for path in PAGE_PATHS}


@pytest.mark.parametrize("path", SCREEN_MODULES)
async def test_the_first_view_is_small(page: httpx.AsyncClient, path: str) -> None:
    """The budget: the merchant waits for these bytes before anything is shown."""
    first = FILES.modules("main.js", SCREEN_MODULES[path])
    own = [name for name in first if not name.startswith("vendor/")]
    shell = await page.get(re.sub(r"\{.*\}", "x", path))
    assert len(own) <= MAX_OWN_FILES, own
    assert sum(len(FILES.files[name].gzipped) for name in own) <= MAX_OWN_BYTES
    assert len(shell.content) <= MAX_SHELL_BYTES
    assert all(
        f'<link rel="modulepreload" href="{FILES.base}/{name}">' in shell.text for name in first
    )


def test_lines_are_as_short_as_pythons() -> None:
    """A text in `words.js` may be longer."""
    own = [path for path in STATIC.rglob("*.js") if "vendor" not in path.parts]
    lines = [
        f"{path.name}: {line}"
        for path in own
        for line in path.read_text().splitlines()
        if len(line) > 100 and not re.fullmatch(r'\s*(\w+: )?".*",', line)
    ]
    assert lines == []


def test_comments_on_lines_of_their_own_are_not_served() -> None:
    code = [
        b"const f = (a) => /** @type {string} */ (a); // stays",
        b"  /** @type {X} */ (g)(1); /* stays, too */",
        b'const url = "https://example.com";',
    ]
    comments = [b"// A line", b"/** @param {string} a\n * over two lines */", b"  /* gone */"]
    source = b"\n".join(comments + code)
    assert served_bytes("main.js", source) == b"\n" * 4 + b"\n".join(code)
    assert served_bytes("vendor/preact.js", source) == source


def test_the_vendored_library_is_unchanged_and_licensed() -> None:
    vendored = (STATIC / "vendor" / "preact.js").read_bytes()
    assert hashlib.sha256(vendored).hexdigest() == PREACT_SHA256
    assert "MIT" in (STATIC / "vendor" / "preact.LICENSE").read_text()
    assert "preact 11.2.0" in (ROOT / "NOTICE").read_text()
