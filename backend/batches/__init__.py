"""Batches: one workflow for all products of a collection or a list, a job for each of them.

A batch keeps no counters: what has become of it is counted from its items and their jobs.
"""
