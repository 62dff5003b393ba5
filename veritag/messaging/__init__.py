"""Celery: queues, messages, publishing and consuming."""
