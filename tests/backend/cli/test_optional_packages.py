"""Libraries without the packages that they can do without."""

import importlib
import sys
from pathlib import Path

import pytest

from backend.cli.optional_packages import import_without

LIBRARY = """
try:
    import colours
except ImportError:
    colours = None
"""


def test_only_the_library_goes_without_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "colours.py").touch()
    (tmp_path / "library.py").write_text(LIBRARY)
    monkeypatch.syspath_prepend(tmp_path)
    try:
        import_without(("colours",), "library")
        assert sys.modules["library"].colours is None
        colours = importlib.import_module("colours")
        import_without(("colours",), "library")
        assert sys.modules["colours"] is colours
    finally:
        sys.modules.pop("library", None)
        sys.modules.pop("colours", None)
