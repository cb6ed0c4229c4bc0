"""`canary report`: the traffic of a stack over a range of time, as one HTML page."""
