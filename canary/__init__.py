"""The `canary` command: drives Pulumi for the stacks of this project, and measures what came of it."""
