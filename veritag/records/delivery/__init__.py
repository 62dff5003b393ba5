"""Records of forwarding and of storage commitment."""
