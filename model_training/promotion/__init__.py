"""Periodic retraining, and the gate before promotion."""
