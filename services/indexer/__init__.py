"""The indexer: moves instances from the spool into archive and records, and dispatches them."""
