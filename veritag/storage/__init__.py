"""Files that must not be lost: spool, archive and storage commitment requests."""
