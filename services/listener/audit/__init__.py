"""Audit messages of reception (PS3.15 section A.5), and where they are sent."""
