"""The Storage SCP."""
