"""The scheduler: settling, republishing, retention and periodic training."""
