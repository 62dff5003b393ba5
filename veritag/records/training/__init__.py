"""Records of training runs, and of the data that they use."""
