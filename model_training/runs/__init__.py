"""One training run, as `veritag train` and `veritag retrain` do it."""
