"""Layers, losses, augmentation and clustering."""
