"""The commands of `canary`, one file each: options, output and exit code."""
