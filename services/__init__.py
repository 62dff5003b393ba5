"""The long-running processes, and the commands that run them together."""
