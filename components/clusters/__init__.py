"""The cluster of a stack, a component for each kind, all with the outputs of `Cluster`.

The modules of clouds import the SDKs of Pulumi's providers, which are optional extras of the project: only what builds
a cluster of that kind imports its module (`stacks.clusters`).
"""
