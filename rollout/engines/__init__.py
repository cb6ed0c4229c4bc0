"""Rollouts that another project's controller moves: what it is given, and what it does not do."""
