"""Pictures that shops send us: taken in, made harmless, kept for the jobs that name them.

The bytes are a stranger's. They go from the socket to a temporary file, from there to a child
process that paints the picture anew, and only what that child painted is stored.
"""
