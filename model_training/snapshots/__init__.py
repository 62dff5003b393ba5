"""Images to learn from, frozen in a snapshot."""
