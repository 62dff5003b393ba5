"""Peers: their settings, TLS, and associations that Veritag requests."""
