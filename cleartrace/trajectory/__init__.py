"""A trajectory as segments: token ids, loss mask, log-probs, provenance; flattening and audit."""
