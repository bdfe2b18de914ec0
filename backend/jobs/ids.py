"""Public IDs: ULIDs with 48 bits of time and 80 new random bits.

The usual libraries increment within a millisecond, so that the next ID could be guessed. Here every
ID is random, so an ID reveals nothing about any other.
"""

import re
import secrets
import time
from datetime import datetime

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base 32
LENGTH = 26
PATTERN = r"^[0-7][0-9A-HJKMNP-TV-Z]{25}$(?!\n)"
FORM = re.compile(PATTERN)
IMPOSSIBLE = "0" * LENGTH  # from the year 1970: no job has it


def new_public_id() -> str:
    """A new ULID, 26 characters of upper-case base 32."""
    return as_ulid((int(time.time() * 1000) << 80) | secrets.randbits(80))


def first_id_at(moment: datetime) -> str:
    """The smallest ULID of that time: IDs from then on are not smaller."""
    return as_ulid(int(moment.timestamp() * 1000) << 80)


def as_ulid(number: int) -> str:
    """128 bits as 26 characters."""
    return "".join(ALPHABET[(number >> shift) & 31] for shift in range(125, -1, -5))


def is_public_id(text: str) -> bool:
    """Whether `text` has the form of our IDs."""
    return FORM.fullmatch(text) is not None


def lookup_id(public_id: str) -> str:
    """The id to look up: for a malformed one, an id that no job has."""
    return public_id if is_public_id(public_id) else IMPOSSIBLE
