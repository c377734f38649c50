"""CLEAR (arXiv 2604.07487): runs of one task are contrasted into guidance, and a model learns to write it."""
