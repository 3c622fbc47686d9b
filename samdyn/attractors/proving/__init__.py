"""Which fixed points are there for sure, and where is none? Branch and prune on intervals."""
