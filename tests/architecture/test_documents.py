"""Paths named in the engineers' documents exist."""

import re

import pytest

from tests.source_tree import ROOT

PATH = re.compile(
    r"`((?:backend|webhooks|migrations|tests|deploy|docs)/[\w./-]*|[\w.-]+\.(?:md|toml))`"
)
EXAMPLE = "migrations/versions/YYYY_MM_DD_HHMM_verb_noun.py"


@pytest.mark.parametrize("name", ["docs/architecture.md", "CONTRIBUTING.md"])
def test_every_path_named_in_the_documents_exists(name: str) -> None:
    paths = set(PATH.findall((ROOT / name).read_text())) - {EXAMPLE}
    assert len(paths) > 8
    assert sorted(path for path in paths if not (ROOT / path).exists()) == []


def test_the_architecture_picture_shows_every_package() -> None:
    picture = (ROOT / "docs" / "architecture.md").read_text().split("```")[1]
    shown = set(re.findall(r"\w+", picture))
    there = {path.stem for path in (ROOT / "backend").iterdir() if not path.name.startswith("_")}
    assert there - shown == set()
