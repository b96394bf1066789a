"""The HTTP face: API and console."""
