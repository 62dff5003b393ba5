"""Synthetic patients for the demo, training, tests and benchmarks."""
