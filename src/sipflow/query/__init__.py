"""Questions about calls, answered from sealed buckets and the live pool alike."""
