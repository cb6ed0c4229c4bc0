"""What the tests of rollouts on a real cluster share: a stack, its processes, what they write, what must hold."""
