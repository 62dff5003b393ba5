"""The review service: web pages and JSON API for decisions on findings."""
