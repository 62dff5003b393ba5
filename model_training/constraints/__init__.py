"""Constraints: must-link and cannot-link pairs of images, sampled from their tags."""
