"""What holds for any input: it is refused in one line that names it, or it works, in bounded time and memory."""
