"""From the verdicts of a series to its findings, by model and by rule."""
