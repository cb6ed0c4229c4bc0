"""What `canary gate` reads, refuses and says."""
