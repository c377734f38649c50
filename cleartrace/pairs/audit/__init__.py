"""Can the right context be told without reading? Shortcut classifiers and the data card."""
