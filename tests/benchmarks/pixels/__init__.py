"""`make pixels`: catalogue images against what a user would write instead."""
