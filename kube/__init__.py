"""Access to the API server: kubeconfig, client, errors and objects."""
