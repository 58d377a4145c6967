"""`make bench`: Isthmus beside its peers, in one run, as ratios."""
