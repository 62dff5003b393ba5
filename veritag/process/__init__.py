"""Parts of every process: logs, metrics, health, signals, memory, supervision."""
