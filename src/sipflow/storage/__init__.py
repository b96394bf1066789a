"""Buckets on disk: data.raw, sipflow.db, catalog.db, and the writer that fills them."""
