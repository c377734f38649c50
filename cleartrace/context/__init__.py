"""What a model is given beside a task."""
