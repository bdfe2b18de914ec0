"""Each control broken by one line, and the test that notices: see `__main__`."""
