"""`code-judge bench`: rates, latencies and CPU time of a real service, beside floors taken in the same minutes."""
