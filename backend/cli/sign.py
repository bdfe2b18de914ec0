"""`atelier sign`: a signed request to try the API with."""

import click


@click.command()
@click.argument("method")
@click.argument("url")
@click.option("--shop", required=True, help="The shop to act for: its *.myshopify.com domain.")
@click.option(
    "--body",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True),
    help="A file with the body, or - for stdin.",
)
@click.option(
    "--content-type", default="application/json", show_default=True, help="What the body is."
)
def sign(method: str, url: str, shop: str, body: str | None, content_type: str) -> None:
    """Print a curl command with a signed request to /v1, valid for 90 seconds.

    Signs with SHOPIFY_API_SECRET. For your own servers only: never send the secret to a browser.
    """
    import shlex
    import time

    from backend.auth.signed_request import signed_request
    from backend.settings import required_variable

    data = b""
    if body:
        with click.open_file(body, "rb") as file:
            data = file.read()
    address, signature = signed_request(
        required_variable("SHOPIFY_API_SECRET").encode(),
        method=method,
        url=url,
        shop=shop,
        body=data,
        now=int(time.time()),
    )
    verb = ["--head"] if method.upper() == "HEAD" else ["-X", method.upper()]  # -X HEAD would hang
    words = ["curl", *verb, "-H", f"X-Shopify-Hmac-Sha256: {signature}", address]
    if body:
        words += ["-H", f"Content-Type: {content_type}", "--data-binary", f"@{body}"]
    click.echo(shlex.join(words))
