"""Snapshots of the service's own archive."""
