"""Slower proof, outside the suite: `make faults`."""
