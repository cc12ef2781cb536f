"""From a config to a trained workdir: devices, the step, its state, checkpoints, the loop and what it reports."""
