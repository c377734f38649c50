"""Model endpoints behind one call."""
