"""Tests of stacks/cluster_facts.py."""
