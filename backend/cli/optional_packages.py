"""Import libraries as if some packages were not installed that they can do without."""

import importlib
import sys


def import_without(packages: tuple[str, ...], *libraries: str) -> None:
    """Import the libraries; to them, the packages are not installed. Later imports find these.

    For what libraries import at once where it is installed, and use only in ways that we do not.
    """
    found = {name: sys.modules[name] for name in packages if name in sys.modules}
    sys.modules.update(dict.fromkeys(packages))  # type: ignore[arg-type]  # None: no such module
    try:
        for library in libraries:
            importlib.import_module(library)
    finally:
        for name in packages:
            del sys.modules[name]
        sys.modules.update(found)
