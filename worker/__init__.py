"""Inspecting instances, settling series, sweeping up what was left over."""
