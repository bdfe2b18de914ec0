"""`atelier sign` and `atelier token`: credentials to try the API with.

Whoever has the app's secret can make both; these commands only spare them the work.
"""

import secrets
import time
import uuid

import click

TOKEN_LIFETIME = 60  # seconds, as App Bridge's


class ShopParameter(click.ParamType[str]):
    """A shop's domain, in lower case; `north` stands for `north.myshopify.com`."""

    name = "SHOP"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The domain, or a usage error."""
        from backend.auth.shop_domain import normalized_shop_domain

        domain = normalized_shop_domain(value if "." in value else f"{value}.myshopify.com")
        if domain is None:
            self.fail(f"{value!r} is not a shop's domain, such as north.myshopify.com.", param, ctx)
        return domain


shop_option = click.option(
    "--shop",
    type=ShopParameter(),
    required=True,
    help="The shop to act for: its *.myshopify.com domain.",
)


@click.command()
@click.argument("method")
@click.argument("url")
@shop_option
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

    from backend.auth.signed_request import signed_request
    from backend.settings import is_http_url, required_variable

    if not is_http_url(url):
        raise click.BadParameter(f"{url!r} is not an http(s) URL.", param_hint="URL")
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


@click.command()
@shop_option
@click.option("--user", default="1", show_default=True, help="The number of the staff member.")
def token(shop: str, user: str) -> None:
    """Print a session token for /v1, as the embedded page would send it; valid for 60 seconds.

    For development:

    \b
        curl -H "Authorization: Bearer $(atelier token --shop SHOP)" URL

    Signs with SHOPIFY_API_SECRET for the app SHOPIFY_API_KEY. The token is a login to that shop's
    data for a minute: keep it out of logs. Our API accepts it; Shopify itself has not issued it.
    """
    import jwt

    from backend.settings import required_variable

    key, secret = required_variable("SHOPIFY_API_KEY"), required_variable("SHOPIFY_API_SECRET")
    now = int(time.time())
    claims = {
        "iss": f"https://{shop}/admin",
        "dest": f"https://{shop}",
        "aud": key,
        "sub": user,
        "exp": now + TOKEN_LIFETIME,
        "nbf": now,
        "iat": now,
        "jti": str(uuid.uuid4()),
        "sid": secrets.token_hex(32),
    }
    click.echo(jwt.encode(claims, secret, algorithm="HS256"))
