"""The long-running processes that people and scanners talk to."""
