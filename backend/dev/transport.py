"""An httpx transport that sends Shopify's requests to the stand-in, and refuses all others.

The product's own client speaks only https to `*.myshopify.com`, `cdn.shopify.com` and the bucket
of staged uploads, and to the Partner API. With this transport it runs unchanged in development
and in tests, and nothing can leave the machine.
"""

import re
import ssl

import httpx

from backend.errors import ConfigurationError
from backend.settings import is_http_url

# For clients that speak plain http: to read the usual certificates takes longer than a request.
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})

_SHOPIFY_HOST = re.compile(
    r"[a-z0-9][a-z0-9-]*\.myshopify\.com"
    r"|cdn\.shopify\.com"
    r"|partners\.shopify\.com"
    # Shopify's bucket for staged uploads is Google's.
    r"|shopify-staged-uploads\.storage\.googleapis\.com"
)


_LOOPBACK_ENDPOINT = re.compile(r"p([1-9][0-9]{0,4})\.localhost")


class LoopbackEndpoints(httpx.AsyncBaseTransport):
    """Carries events for `https://p8123.localhost/…` to plain http on this machine's port 8123.

    Refuses all other requests. Names below `localhost` are loopback by their standard, so the
    transport of a deployment (`backend.ssrf_transport`) refuses these.
    """

    def __init__(self) -> None:
        self._loopback = httpx.AsyncHTTPTransport(verify=NO_TLS, trust_env=False)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send it; raise httpx.ConnectError for any other host."""
        named = _LOOPBACK_ENDPOINT.fullmatch(request.url.host)
        if named is None or request.url.scheme != "https":
            raise httpx.ConnectError(f"{request.url.host} is not on loopback", request=request)
        url = request.url.copy_with(scheme="http", host="127.0.0.1", port=int(named[1]))
        return await self._loopback.handle_async_request(
            httpx.Request(
                request.method,
                url,
                headers=request.headers,
                stream=request.stream,
                extensions=request.extensions,
            )
        )

    async def aclose(self) -> None:
        """Close the pooled connections."""
        await self._loopback.aclose()


class LoopbackShopify(httpx.AsyncBaseTransport):
    """Carries requests for Shopify's hosts to a stand-in on this machine; refuses all others."""

    def __init__(self, origin: str) -> None:
        """`origin` is the stand-in's, such as `http://127.0.0.1:8123`.

        Raises `ConfigurationError` when it is not plain http on the loopback interface.
        """
        wrong = ConfigurationError(
            "--stand-in must be an http URL on loopback, such as http://127.0.0.1:9000, "
            f"not {origin!r}."
        )
        if not is_http_url(origin):
            raise wrong
        self._origin = httpx.URL(origin)
        if self._origin.scheme != "http" or self._origin.host not in LOOPBACK_HOSTS:
            raise wrong
        self._loopback = httpx.AsyncHTTPTransport(verify=NO_TLS, trust_env=False)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request for Shopify to the stand-in; raise httpx.ConnectError for any other."""
        if not _is_for_shopify(request.url):
            raise httpx.ConnectError(f"{request.url.host} is not Shopify", request=request)
        return await self._loopback.handle_async_request(self._redirected(request))

    async def aclose(self) -> None:
        """Close the pooled connections."""
        await self._loopback.aclose()

    def _redirected(self, request: httpx.Request) -> httpx.Request:
        url = request.url.copy_with(
            scheme=self._origin.scheme, host=self._origin.host, port=self._origin.port
        )
        # The headers go along as they are: the stand-in knows the shop by its Host.
        return httpx.Request(
            request.method,
            url,
            headers=request.headers,
            stream=request.stream,
            extensions=request.extensions,
        )


def _is_for_shopify(url: httpx.URL) -> bool:
    # httpx gives no port for 443 on https.
    secure = url.scheme == "https" and url.port is None and not url.userinfo
    return secure and _SHOPIFY_HOST.fullmatch(url.host) is not None
