"""`code-judge soak`: many runs with attacks among them; none may be lost, and nothing may grow."""
