"""The load and correctness harness."""
