"""The joint mode: after their starting steps f, f_m and f_b all train in one step, and the mask does not collapse.

f starts at step 0, f_m at 250, f_b at 450. f_m learns half as fast as in the three phases: from an f that still
changes, a faster one can saturate at 0 and stay there.

Command: python -m bginv_jax.train --config=experiments/mnist_5k_joint.py --workdir=runs/mnist_5k_joint
"""

from bginv_jax.config import default_config


def get_config():
    config = default_config()
    config.schedule = ("f:250", "f+f_m:200", "f+f_m+f_b:450")
    config.steps = 900
    config.rate.f_m = 5e-4
    return config
