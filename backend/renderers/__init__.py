"""Engines behind a pipeline's stage.

`base` is the contract, `local` the engine on this machine: one child process a slot, because image
files are hostile input and native decoders are not hardened against it. The worker imports `base`
and `local`; `child`, `stages` and with them all of `backend.imaging` load in the child alone.
"""
