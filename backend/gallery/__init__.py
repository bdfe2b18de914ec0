"""What a shop has made, to look at and to choose from: its renders, and its catalog's entries."""
