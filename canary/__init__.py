"""The `canary` command: drives Pulumi for the stacks of this project, and measures the result at the gateway."""
