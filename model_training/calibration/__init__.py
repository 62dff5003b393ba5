"""From a trained network to thresholds and probabilities that hold."""
