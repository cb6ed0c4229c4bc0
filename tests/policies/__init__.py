"""Tests of the policy pack's rules, on what the components register."""
