"""Worlds to act in, drawn as pictures by pure functions, which run inside a compiled program."""
