"""Records of training runs, and what they learn from."""
