"""The indexer: from the spool into the archive and the records, and to the broker."""
