"""How each route keeps two shops apart: the checks, by area."""
