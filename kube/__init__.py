"""The one way to the API server: which cluster, a client, errors in words, objects, pods."""
