"""Storage commitment reports and forwarding: what we send to others by ourselves."""
