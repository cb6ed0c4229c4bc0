"""Reusable Pulumi components: what a namespace, a mesh, a service in versions and its routing consist of.

Each component takes its arguments in a frozen dataclass and reads no configuration; `stacks.environment` hands the
settings over.
"""
