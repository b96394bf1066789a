"""Several servers that answer as one: whichever is asked asks the others ([CLUSTER.md](../../../docs/CLUSTER.md))."""
