"""A one-machine Kubernetes cluster for a machine that has none: `build` makes its programs, `cluster` runs them."""
