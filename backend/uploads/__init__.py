"""Uploads: images that shops send, re-encoded and stored for their jobs.

The bytes are untrusted. They go from the socket to a temporary file, and from there to a child
process that re-encodes the image; only the child's output is stored.
"""
