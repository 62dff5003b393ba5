"""The Storage SCP and, beside it, the indexer."""
