"""Image processing: bytes in, bytes and quality figures out.

The order is `decode` → `cutout` → one of `compose`, `dress` and `swap` → `encode`, with `quality`
judging the result; `normalise` re-encodes uploads. Nothing here knows about shops, jobs, buckets or
sockets, so each function can be tried on a photo from a Python prompt. Untrusted bytes are decoded
only in the child processes of `backend.renderers`; the web process does not import this package.

Arrays are numpy, rows first: a picture is (height, width, 3) uint8 sRGB, an alpha or probability is
(height, width) float32 in 0..1, a mask is (height, width) bool.
"""
