"""What is trained: methods, and which networks learn when."""
