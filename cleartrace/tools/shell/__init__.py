"""Shell agents on repositories: tasks, the one-command-a-turn protocol, and sandboxes to run commands in."""
