"""ContextRL on veRL: a context-awareness pass inside each optimizer step of the actor."""
