"""Snapshots of the archive of a running Veritag, chosen by its records."""
