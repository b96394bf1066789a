"""Sealed buckets in an object store: put there, verified, found again, and let go."""
