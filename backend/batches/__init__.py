"""Batches: one workflow for all products of a collection or a list, with a job for each.

While any of its jobs runs, a batch's counts are computed from its items and their jobs. Once it has
ended, a worker stores the final counts with it.
"""
