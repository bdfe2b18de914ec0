"""Pure pixels: bytes in, bytes and figures out.

The order of work is `decode` → `cutout` → one of `compose`, `dress` and `swap` → `encode`, with
`quality` judging what came of it; `normalise` is for files that have only just arrived. Nothing
here knows a shop, a job, a bucket or a socket, so each function can be tried on a photo from a
Python prompt. Untrusted bytes are only ever opened inside the child processes of
`backend.renderers`; nothing in the web process imports this package.

Arrays are numpy, rows first: a picture is (height, width, 3) uint8 sRGB, an alpha or probability is
(height, width) float32 in 0..1, a mask is (height, width) bool.
"""
