"""One source, other domains: digits of MNIST alone, for MNIST-M, USPS and others (Volpi et al. 2018).

The protocol of single-source domain generalisation: 10,000 digits, 32x32 RGB, the LeNet; here the first 10,000 in the
order of TensorFlow Datasets, which is not that of the original files. Masks are learned; f_b and families of random
backgrounds stand behind the objects, these in other greys than they were drawn, a quarter of them in two, one ending
where another begins. A quarter of the objects are drawn in the ink of another background, four and a half in ten in the
negative of their own; strokes are thicker and thinner, harder and softer than they were. No photographs. f predicts by
the mean over three sizes of an image. experiments/single_source_table.py scores it.

Command: python -m bginv_jax.train --config=experiments/single_source.py --workdir=runs/single_source
"""

from bginv_jax.backgrounds import families
from bginv_jax.config import default_config


def get_config():
    config = default_config()
    config.data.source = "tfds:mnist"
    config.data.train_split = "train[:10000]"
    config.data.image_size = 32
    config.data.channels = 3
    config.classifier, config.classifier_average = "lenet", 0.99
    config.classifier_views = (1.0, 0.9, 1.2)
    config.schedule = ("f:300", "f_m:200", "f+f_b:17500")
    config.steps = 18000
    config.augment.update({"rotation": 15.0, "shear": 15.0, "zoom": 0.5, "gamma": 4.0, "blur": 0.3, "elastic": 0.02})
    config.background.families = families.DEVELOPMENT
    config.background.update({"two_greys": 0.25, "reshaded": 0.8, "mixed": 0.7})
    config.background.update({"pictured_share": 0.625, "plain_share": 0.1875})
    config.background.update({"ink_share": 0.25, "negative_share": 0.45, "recolour": True})
    return config
