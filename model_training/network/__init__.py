"""The network: layers, losses, augmentation, clustering, and its configuration."""
