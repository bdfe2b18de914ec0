"""The `atelier` command line. Each command imports what it needs when it runs."""

from typing import Any

import click

from backend.cli.development import demo, dev
from backend.cli.inspection import jobs, webhooks
from backend.cli.maintenance import erasures, keys, migrate, reconcile
from backend.cli.servers import serve, worker
from backend.cli.sign import sign
from backend.errors import AtelierError


class Commands(click.Group):
    """Prints an `AtelierError` as one line and exits with code 1."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except AtelierError as error:
            raise click.ClickException(error.message) from error


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="atelier")
def main() -> None:
    """An open backend for Shopify apps that make product imagery.

    Try it with `atelier demo`. `serve`, `worker` and `migrate` read their settings from the
    environment: DATABASE_URL, S3_BUCKET, S3_ENDPOINT_URL, AWS_*, SHOPIFY_API_KEY,
    SHOPIFY_API_SECRET, SHOPIFY_API_SECRET_PREVIOUS (with …_NOT_AFTER), TOKEN_KEYS.
    """


for command in (demo, dev, serve, worker, migrate, sign, keys, reconcile, jobs, webhooks, erasures):
    main.add_command(command)
