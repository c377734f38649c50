"""The embedded rollout: a Ray actor around `cleartrace_verl.engine`, and the adapter that feeds it weights."""
