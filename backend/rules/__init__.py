"""What a shop has done by itself when its products change: which workflows, for which products."""
