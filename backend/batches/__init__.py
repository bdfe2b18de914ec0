"""Batches: one workflow for all products of a collection or a list, a job for each of them.

While any of its jobs runs, what has become of a batch is counted from its items and their jobs.
Once it has ended, a worker stores the counts with it, and nothing is counted any more.
"""
