"""The veRL layer of cleartrace: the only package that imports veRL and Ray."""
