"""The web pages, one file a page."""
