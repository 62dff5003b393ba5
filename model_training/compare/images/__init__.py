"""Images of known kind, and the tags that they are given."""
