"""What an entry of a playbook is worth."""
