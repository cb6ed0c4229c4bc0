"""The components of the kinds of clusters."""
