"""The settings of a stack: types, defaults and bounds, and reading them from `Pulumi.<stack>.yaml`."""
