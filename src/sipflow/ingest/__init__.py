"""Capture files and their packets, on the way to storage."""
