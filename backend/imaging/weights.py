"""The weights of u2netp, which are used only if they are byte for byte the ones we know.

Apart from the net, so that a worker process can look at them without loading numpy.
"""

import hashlib
from pathlib import Path

U2NETP_SHA256 = "309c8469258dda742793dce0ebea8e6dd393174f89934733ecc8b14c76f4ddd8"


def read_weights(path: Path | None) -> bytes | None:
    """The weights, or None if they are absent, unreadable, or not the ones we know.

    A model file is a program for the native runtime: bytes that nobody vouches for stay unread.
    """
    if path is None or not path.is_file():
        return None
    try:
        weights = path.read_bytes()
    except OSError:
        return None
    return weights if hashlib.sha256(weights).hexdigest() == U2NETP_SHA256 else None
