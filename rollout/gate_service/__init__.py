"""The gate service: what other engines of rollouts ask before they move a canary's weight, and when to take it back."""
