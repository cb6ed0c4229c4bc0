"""`canary undo`: what a service goes back to, and the change of the stack's file that leads there."""
