"""Images and masks as pure arrays between the networks, NHWC float32 in [0, 1]; and how picture files become arrays."""
