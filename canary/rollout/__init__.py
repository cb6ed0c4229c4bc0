"""What the `canary rollout` commands share: which rollout is meant, what is read of it, and how it is told."""
