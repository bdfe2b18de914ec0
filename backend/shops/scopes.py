"""OAuth access scopes as Shopify lists them: handles with commas between, `write_x` above `read_x`.

Handles of any form are kept: a shop may have granted `customer_read_customers`, or one that Shopify
adds later, and `ApiAccess` of Shopify's library raises an error on those.
"""

import re

WRITE_HANDLE = re.compile(r"(unauthenticated_|customer_)?write_(.+)")


def scope_handles(scopes: str) -> frozenset[str]:
    """The handles of a list such as "read_files, write_files", without those that others imply."""
    listed = {handle.strip() for handle in scopes.split(",")} - {""}
    return frozenset(listed - implied_by(listed))


def covers(granted: str, needed: str) -> bool:
    """Whether the granted scopes cover the needed ones; both are lists such as "read_files"."""
    handles = scope_handles(granted)
    return scope_handles(needed) <= handles | implied_by(handles)


def implied_by(handles: frozenset[str] | set[str]) -> set[str]:
    """The `read_x` of each `write_x`."""
    writes = (WRITE_HANDLE.fullmatch(handle) for handle in handles)
    return {f"{write[1] or ''}read_{write[2]}" for write in writes if write}
