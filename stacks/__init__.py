"""What a stack is: its settings, and the environment they ask for."""
