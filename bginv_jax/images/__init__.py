"""Pure arrays: what is done to images and masks between the networks, NHWC float32 in [0, 1]."""
