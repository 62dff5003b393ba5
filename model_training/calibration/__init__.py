"""Thresholds and probabilities of a model of tags, from held-out images."""
