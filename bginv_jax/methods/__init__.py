"""What is trained: tasks, methods, and which networks learn when."""
