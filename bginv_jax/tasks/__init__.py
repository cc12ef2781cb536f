"""What is learned: each task is a file, with its loss, its measures and how its predictions are told and drawn."""
