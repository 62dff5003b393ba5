"""Synthetic patients for tests, benchmarks and the demo."""
