"""Images to learn from: sources, snapshots, kept tiles, and the split by patient."""
