"""The `atelier` command line. Each command imports what it needs when it runs."""

import contextlib
from collections.abc import Iterator
from typing import Any

import click

from backend.cli.credits import credits_commands
from backend.cli.development import demo, dev, stand_in
from backend.cli.endpoints import endpoints
from backend.cli.explanations import CommandFailed, explained
from backend.cli.inspection import jobs, webhooks
from backend.cli.maintenance import erasures, keys, migrate, reconcile
from backend.cli.run import INTERRUPTED
from backend.cli.servers import serve, worker
from backend.cli.sign import sign, token


class Commands(click.Group):
    """Prints whatever stops a command as one line; `explanations` has the exit codes."""

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Parse the command line."""
        with one_line_errors():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        with one_line_errors():
            return super().invoke(ctx)


@contextlib.contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn what stops a command into one line and an exit code; a bug keeps its traceback."""
    try:
        yield
    except KeyboardInterrupt:
        raise click.exceptions.Exit(INTERRUPTED) from None
    except click.exceptions.NoArgsIsHelpError:
        raise
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "atelier"
        raise CommandFailed(
            f"{error.format_message().removesuffix('.')}. Try `{command} --help`.", error.exit_code
        ) from error
    except (click.ClickException, click.exceptions.Exit, click.Abort):
        raise
    except Exception as error:
        failure = explained(error)
        if failure is None:
            raise
        raise failure from error


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="atelier")
def main() -> None:
    """An open backend for Shopify apps that make product imagery.

    Try it with `atelier demo`. `serve`, `worker` and `migrate` read their settings from the
    environment: DATABASE_URL, S3_BUCKET, S3_ENDPOINT_URL, AWS_*, SHOPIFY_API_KEY,
    SHOPIFY_API_SECRET, SHOPIFY_API_SECRET_PREVIOUS (with …_NOT_AFTER), TOKEN_KEYS.
    """


for command in (
    *(demo, dev, stand_in, serve, worker, migrate, sign, token),
    *(keys, reconcile, jobs, webhooks, credits_commands, endpoints, erasures),
):
    main.add_command(command)
