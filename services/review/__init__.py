"""The review queue: web pages and JSON API."""
