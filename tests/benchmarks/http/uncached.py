"""`atelier serve` that keeps no bodies and no URLs: no detail was read before.

The product has no such setting. Whatever else a read does, it does here too.
"""

from backend.cli import main
from backend.jobs.body_cache import BodyCache
from backend.storage.presign import Presigner, SignedUrl

sign = Presigner.sign


def sign_anew(presigner: Presigner, key: str, content_type: str) -> SignedUrl:
    """`Presigner.sign` without the URLs that it has signed before."""
    presigner.signed.clear()
    return sign(presigner, key, content_type)


if __name__ == "__main__":
    BodyCache.__init__.__defaults__ = (0,)  # bytes
    Presigner.sign = sign_anew  # type: ignore[assignment, method-assign]
    main()
