"""`canary status --watch`: weights, traffic and pods of each version, read again every second."""
