"""What a guidance is worth: the execution agent's own score with the guidance beside the task (CLEAR, phase 2)."""
