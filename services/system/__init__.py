"""Programs that run the whole system: up, demo, send, status, config, models."""
