"""The model of tags on trained clusters: profiles, pool of sources, novelty, ranges."""
