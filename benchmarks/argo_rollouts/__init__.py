"""Argo Rollouts as a peer of the benchmarks: its controller and its kubectl plugin, built and run as they are."""
