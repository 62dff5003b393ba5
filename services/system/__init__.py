"""Programs that run the whole system: up, demo, status, config, models."""
