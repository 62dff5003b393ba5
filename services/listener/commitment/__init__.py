"""Requests of storage commitment (PS3.4 annex J)."""
