"""`make benchjobs`: jobs a second through our worker, against what PgQueuer does alone."""
