"""Which URLs an endpoint may have, as far as that is known without resolving the host name.

What the name resolves to is checked at each delivery, by the transport that dials it
(`backend.ssrf_transport`): an answer from now says nothing about the next one.
"""

import re
from ipaddress import ip_address

import httpx

from backend.ssrf_transport import HTTPS_PORT, is_public

LONGEST_URL = 2000  # characters
# As resolvers get it, so in ASCII. Its last part begins with a letter: 127.1 is an old way to write
# an address.
HOST_NAME = re.compile(r"(?:[a-z0-9_-]+\.)+[a-z][a-z0-9-]*\.?")


def url_problem(url: str, ports: frozenset[int]) -> str | None:
    """Why an endpoint may not have this URL; None if it may."""
    try:
        parsed = httpx.URL(url)
        _ = parsed.host  # decodes the name, which raises if it is no valid IDN
        host = parsed.raw_host.decode()
    except (httpx.InvalidURL, UnicodeError):
        return "This is not a URL."
    if parsed.scheme != "https" or not host:
        return "Use an https URL, such as https://example.com/webhooks."
    if parsed.userinfo:
        return "Leave out user name and password: deliveries are signed instead."
    if parsed.fragment:
        return "Leave out the part after #."
    if (parsed.port or HTTPS_PORT) not in ports:
        return f"Use port {' or '.join(str(port) for port in sorted(ports))}."
    return host_problem(host)


def host_problem(host: str) -> str | None:
    """Why no delivery can be made to that host; None if one may be possible."""
    try:
        address = ip_address(host)
    except ValueError:
        is_name = HOST_NAME.fullmatch(host)
        return None if is_name else "Use a host name with a domain, such as example.com."
    return None if is_public(address) else "This address is not on the public internet."
