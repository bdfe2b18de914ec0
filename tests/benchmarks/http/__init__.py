"""`make bench`: the hot routes against what a user would write instead, and against the limit."""
