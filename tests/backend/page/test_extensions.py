"""The links to the page in Shopify's admin, which `shopify app deploy` publishes."""

import json
import tomllib

from backend.page.routes import PAGE_PATHS
from tests.source_tree import ROOT

APP = tomllib.loads((ROOT / "shopify.app.toml").read_text())
FOLDER = ROOT / "backend" / "page" / "extensions" / "make-images"
LINKS = tomllib.loads((FOLDER / "shopify.extension.toml").read_text())["extensions"]


def test_the_app_opens_the_page() -> None:
    assert APP["application_url"].endswith("example.com/") and "/" in PAGE_PATHS
    assert APP["embedded"] is True


def test_the_cli_finds_the_links() -> None:
    found = {path for each in APP["extension_directories"] for path in ROOT.glob(each)}
    assert found == {FOLDER}


def test_a_product_and_selected_products_link_to_make() -> None:
    targets = {target["target"]: target["url"] for link in LINKS for target in link["targeting"]}
    assert targets == {
        "admin.product-details.action.link": "/make",
        "admin.product-index.selection-action.link": "/make",
    }
    assert "/make" in PAGE_PATHS
    assert {link["type"] for link in LINKS} == {"admin_link"}
    assert len({link["handle"] for link in LINKS}) == len(LINKS)


def test_the_links_have_a_name_in_each_language_of_the_page() -> None:
    names = {
        path.name.split(".")[0]: json.loads(path.read_text())
        for path in (FOLDER / "locales").iterdir()
    }
    pages = {path.stem for path in (ROOT / "backend" / "page" / "static" / "locale").iterdir()}
    assert names.keys() == {"en", *pages}
    assert all(list(words) == ["name"] and len(words["name"]) <= 40 for words in names.values())
