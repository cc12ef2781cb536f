"""What a step costs, alone, beside PyTorch and as the work grows."""
