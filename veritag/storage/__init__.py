"""Files that must not be lost: spool, archive, requests of storage commitment."""
