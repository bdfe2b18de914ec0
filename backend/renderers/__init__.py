"""What runs a workflow's stages.

`base` is the contract of every engine. `local` is the engine on this machine: one child process per
slot, because image files are hostile input and native decoders are not hardened against it. The
worker, and the web process for its uploads, import `base`, `local` and `wire`; everything else here
and all of `backend.imaging` is loaded in the child alone. `backend.providers` chooses an engine for
each stage.
"""
