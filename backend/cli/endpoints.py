"""Commands for the operator's webhook endpoints, which get the events of every shop."""

import click

from backend.cli.run import run


@click.group()
def endpoints() -> None:
    """Manage the webhook endpoints that get the events of all shops.

    Shops manage their own by the API. Needs the settings of `atelier serve`.
    """


@endpoints.command(name="add")
@click.argument("url")
@click.option("--event-type", "event_types", multiple=True, help="Repeatable. Default: all types.")
@click.option("--description", default="", help="For your list.")
def add_command(url: str, event_types: tuple[str, ...], description: str) -> None:
    """Send events to URL from now on. Prints the ID and the secret, which is not shown again."""
    from backend.worker.endpoint_console import add_app_endpoint

    run(add_app_endpoint(url, event_types, description))


@endpoints.command(name="list")
def list_command() -> None:
    """Print each endpoint: ID, whether it is on, URL and event types."""
    from backend.worker.endpoint_console import list_app_endpoints

    run(list_app_endpoints())


@endpoints.command(name="remove")
@click.argument("endpoint_id")
def remove_command(endpoint_id: str) -> None:
    """Send nothing to this endpoint any more."""
    from backend.worker.endpoint_console import remove_app_endpoint

    run(remove_app_endpoint(endpoint_id))


@endpoints.command(name="enable")
@click.argument("endpoint_id")
def enable_command(endpoint_id: str) -> None:
    """Switch an endpoint on again that was switched off for its failures."""
    from backend.worker.endpoint_console import enable_app_endpoint

    run(enable_app_endpoint(endpoint_id))


@endpoints.command(name="rotate")
@click.argument("endpoint_id")
def rotate_command(endpoint_id: str) -> None:
    """Print a new secret. For 24 hours deliveries are signed with the previous one too."""
    from backend.worker.endpoint_console import rotate_app_secret

    run(rotate_app_secret(endpoint_id))
