"""Tiles for the model from Pixel Data, and decoding of untrusted files under limits."""
