"""The policy pack: what must not be in a stack, as rules on the resources that it registers.

The same rules run in `pulumi preview --policy-pack policies`, in `canary check`, on a stack's state and in unit tests.
"""
