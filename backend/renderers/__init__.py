"""Engines behind a pipeline's stage.

`base` is the contract, `local` the engine on this machine: one child process a slot, because image
files are hostile input and native decoders are not hardened against it. The worker, and the web
process for its uploads, import `base`, `local` and `wire`; everything else here, and with it all of
`backend.imaging`, loads in the child alone.
"""
