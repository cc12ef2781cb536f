"""Sources of data, each of which becomes a Dataset of arrays on the host."""
