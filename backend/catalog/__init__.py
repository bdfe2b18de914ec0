"""The catalog: generated models, backgrounds and garments that a shop's later jobs use by name.

A generator job fills it when it succeeds. `backend.gallery` has its API.
"""
