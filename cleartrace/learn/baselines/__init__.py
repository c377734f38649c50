"""Other ways to learn context, on the same protocols: ACE, best-of-n, Dynamic Cheatsheet, GEPA."""
