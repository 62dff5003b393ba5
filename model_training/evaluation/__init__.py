"""Evaluation of bundles on known images, and comparison of two bundles."""
