"""Every setting of a run: its default, what it means and its unit, and what it may be."""

import dataclasses
from collections.abc import Callable, Collection
from typing import Any

from bginv_jax.backgrounds import families
from bginv_jax.data import sources, studio
from bginv_jax.images.fitting import FITS
from bginv_jax.images.masks import BINARIZATIONS
from bginv_jax.methods import registry, schedule
from bginv_jax.methods.masking import FILLS, MASKS
from bginv_jax.methods.proposal import BACKGROUND_KINDS
from bginv_jax.networks.classifiers import CLASSIFIERS, is_classifier
from bginv_jax.networks.contract import padded_size
from bginv_jax.tasks.registry import TASKS

_MOST_VIEWS, _WIDEST_VIEW = 9, 2


@dataclasses.dataclass(frozen=True)
class Field:
    """One setting: `valid` holds for what `allowed` says in words; what is registered later is allowed, too."""

    default: Any
    meaning: str
    words: str | Callable[[], str]
    valid: Callable[[Any], bool]

    @property
    def allowed(self) -> str:
        return self.words if isinstance(self.words, str) else self.words()


def _one_of(default: str, meaning: str, choices: Collection[str]) -> Field:
    return Field(default, meaning, lambda: "one of " + ", ".join(choices), lambda value: value in choices)


def _number(default: float, meaning: str, low: float, high: float | None = None) -> Field:
    kind = "an integer" if isinstance(default, int) else "a number"
    if high is not None:
        return Field(default, meaning, f"{kind} from {low} to {high}", lambda value: low <= value <= high)
    bound, shown = (2**31, "2**31") if isinstance(default, int) else (3.4e38, "3.4e38")  # of int32 and float32
    return Field(default, meaning, f"{kind} of at least {low} and below {shown}", lambda value: low <= value < bound)


def _switch(default: bool, meaning: str) -> Field:
    return Field(default, meaning, "True or False", lambda value: True)


def _is_view(value: Any) -> bool:
    return type(value) in (int, float) and 0 < value <= _WIDEST_VIEW


FIELDS: dict[str, Field] = {
    "method": _one_of("proposal", "what is trained: a row of Table 1", registry.METHODS),
    "task": _one_of("classification", "what is learned of the targets, and reported", TASKS),
    "seed": _number(0, "all randomness follows from it", 0, 2**31 - 1),
    "seeds": Field(
        (),
        "several seeds, trained together in one program, instead of `seed`",
        "a tuple of different integers of at least 0, such as (0, 1, 2), or ()",
        lambda value: all(type(seed) is int and 0 <= seed < 2**31 for seed in value) and len(set(value)) == len(value),
    ),
    "classifier": Field(
        "cnn",
        "f: the authors', one that convolves twice a block, the ConvNet of single-source digits, some for photographs, "
        "the authors' with a quarter of its channels, one for tasks of pixels, or a Flax module of your own",
        lambda: "one of " + ", ".join(CLASSIFIERS) + ", or module:Class",
        is_classifier,
    ),
    "classifier_weights": Field(
        "",
        "where f's training starts, but for its head: a file with the names of timm or torchvision, or 'imagenet'",
        "'', 'imagenet' with classifier efficientnet_lite0, or the path of a .safetensors or .pth file",
        lambda value: value == value.strip(),
    ),
    "classifier_averages": _one_of(
        "moving", "whether those of batch normalisation follow the images, or stay as they came", ("moving", "fixed")
    ),
    "classifier_average": _number(
        0.0, "decay of the average of f's weights with which it predicts; 0 predicts with the last", 0.0, 0.9999
    ),
    "classifier_views": Field(
        (),
        "f predicts by the mean over the middle of an image in these shares of its side, resized; above 1 with more of "
        "its edges around it; () as it is",
        "a tuple of up to 9 numbers above 0 and up to 2, such as (1.0, 0.7), or ()",
        lambda value: len(value) <= _MOST_VIEWS and all(_is_view(share) for share in value),
    ),
    "classifier_frozen": _number(0, "how many of f's first stages, the stem among them, keep their weights", 0, 1000),
    "batch_size": _number(64, "images per step, over all devices", 1),
    "steps": _number(4000, "steps of training, over all phases", 1),
    "schedule": Field(
        ("f:600", "f_m:200", "f+f_b:3200"),
        "the phases in order, NETWORKS:SHARE of the steps; the networks of a phase train in one step",
        "a tuple of strings such as 'f:600', 'f_m:200', 'f+f_b:3200', with networks of the method and positive shares",
        schedule.is_schedule,
    ),
    "label_smoothing": _number(0.0, "share of each label that is spread over all classes", 0.0, 1.0),
    "muon": Field(
        (),
        "networks whose matrices follow Muon (Jordan 2024) in the place of Adam",
        "a tuple of names of the method's networks, each once",
        lambda value: all(isinstance(name, str) for name in value) and len(set(value)) == len(value),
    ),
    "weight_decay": _number(0.0, "AdamW's for f, times its rate at each step; 0 is Adam", 0.0),
    "rate.f": _number(1e-3, "the learning rate for f", 0.0, 1.0),
    "rate.f_l": _number(1e-3, "the learning rate for f_l", 0.0, 1.0),
    "rate.f_m": _number(1e-3, "the learning rate for f_m", 0.0, 1.0),
    "rate.f_b": _number(1e-3, "the learning rate for f_b", 0.0, 1.0),
    "rate.decay": _one_of("cosine", "how each rate falls while its network trains", schedule.DECAYS),
    "data.source": Field("mnist_5k", "the data set", sources.forms, sources.is_source),
    "data.dir": Field("", "data_dir of TensorFlow Datasets; '' is its default", "a path", lambda value: True),
    "data.train_split": Field(
        sources.SPLITS["train_split"], "tfds split, or folder, to train on", "a split of the data set", bool
    ),
    "data.test_split": Field(
        sources.SPLITS["test_split"], "tfds split, or folder, to test on", "a split of the data set", bool
    ),
    "data.tests": Field(
        (),
        "further test sets: folders beside `train` by their name, others as NAME:PATH; of tfds NAME or NAME:SPLIT",
        "a tuple of strings NAME or NAME:PATH, whose names differ and are not train or test, or ()",
        sources.are_tests,
    ),
    "data.image_size": _number(0, "images are resized to a square of this side, pixels; 0 keeps theirs", 0, 1024),
    "data.fit": _one_of("stretch", "how images that are not square become so", FITS),
    "data.channels": Field(
        0,
        "3 repeats grey images as RGB, 1 takes the luminance of photographs; 0 keeps what the images have",
        "0, 1 or 3",
        lambda value: value in (0, 1, 3),
    ),
    "data.masks": Field(
        (),
        "folders with the true masks of a folder's tests, TEST/CLASS/NAME, white on the object; nothing trains on them",
        "a tuple of paths",
        lambda value: all(isinstance(path, str) and path for path in value),
    ),
    "data.stream": _one_of(
        "auto",
        "whether images are read as steps need them: auto where they fill half of a device's memory",
        ("auto", "never", "always"),
    ),
    "data.validation_share": _number(
        0.0, "share of the training images, of each class, that is held out for config.evaluate_every", 0.0, 0.9
    ),
    "data.targets": _one_of(
        "given",
        "what is asked: the label, the angle it is turned by, or each pixel of digits on a canvas",
        sources.TARGETS,
    ),
    "data.studio": _one_of("", "objects on black are set before one backdrop that is not", ("", *studio.STUDIOS)),
    "augment.rotation": _number(12.0, "largest rotation, degrees", 0.0, 180.0),
    "augment.shift": _number(0.07, "largest shift along each axis, share of the side", 0.0, 1.0),
    "augment.shear": _number(0.0, "largest shear, degrees", 0.0, 60.0),
    "augment.zoom": _number(0.1, "largest enlargement, and reduction, share of the side", 0.0, 9.0),
    "augment.elastic": _number(0.0, "standard deviation of a smooth displacement, share of the side", 0.0, 1.0),
    "augment.flip": _switch(False, "mirror half of the images left to right"),
    "augment.brightness": _number(0.0, "brightness is multiplied by 1 -+ this", 0.0, 1.0),
    "augment.contrast": _number(0.0, "differences from the image's mean are multiplied by 1 -+ this", 0.0, 1.0),
    "augment.saturation": _number(0.0, "differences from the pixel's grey are multiplied by 1 -+ this", 0.0, 1.0),
    "augment.tint": _number(0.0, "each channel is multiplied by 1 -+ this", 0.0, 1.0),
    "augment.blur": _number(0.0, "share of the images that is out of focus", 0.0, 1.0),
    "augment.gamma": _number(0.0, "values are raised to a power between 1 / (1 + this) and 1 + this", 0.0, 99.0),
    "attention.threshold": _number(0.7, "share of the largest activation above which f_l looks", 0.0, 1.0),
    "mask.kind": _one_of("learned", "masks of f_m, or wherever the image is above 0", MASKS),
    "mask.size": Field(
        0,
        "f_m sees images resized to this side, pixels, and its masks are resized back; 0 is the image's",
        "0, or a size that networks take, such as 32, 48, 64, 96, 112, 128, up to 1024",
        lambda value: value == 0 or (0 < value <= 1024 and padded_size(value, value) == value),
    ),
    "mask.binarize": _one_of("threshold", "how masks are cut before composing", BINARIZATIONS),
    "mask.fill": _one_of("black", "what f_m puts where it sees no object", FILLS),
    "mask.area": _number(0.2, "mean of a mask that costs nothing, share of the image", 0.0, 1.0),
    "mask.area_weight": _number(1.0, "weight of relu(mean(m) - area) in f_m's loss", 0.0),
    "mask.variation_weight": _number(0.1, "weight of the mask's total variation in f_m's loss", 0.0),
    "mask.border_weight": _number(
        0.0, "weight of masks that show what looks like the border of their image, and hide the rest", 0.0
    ),
    "mask.width": _number(32, "channels of f_m at its image's size; twice as many at half of it, and so on", 1, 256),
    "mask.halo": _number(3, "masks are dilated by a random 0 to this many pixels per image", 0, 16),
    "mask.erosion": _number(0, "or eroded, by up to this many pixels", 0, 16),
    "mask.least_halo": _number(
        0,
        "what stands behind a mask that is dilated by fewer is darkened, lest an object be lost on its like",
        0,
        16,
    ),
    "mask.aligned": _switch(True, "masks made before a phase move with their augmented image"),
    "background.kind": _one_of("generated", "what stands behind the object", BACKGROUND_KINDS),
    "background.families": Field(
        (),
        "families of random backgrounds that stand behind the pictured objects",
        "a tuple of names in families.FAMILIES",
        lambda value: all(isinstance(name, str) and name in families.FAMILIES for name in value),
    ),
    "background.repeats": _number(1, "half of them up to so many times smaller, repeated in mirrors", 1, 8),
    "background.photographs": Field("", "folder of photographs that do so", "a path", lambda value: True),
    "background.training_images": _number(0, "or so many of the training images", 0),
    "background.zoom": _number(0.0, "families, photographs and images are enlarged by up to 1 + this", 0.0, 100.0),
    "background.gain": _number(0.0, "and brightened by up to 1 + this, so that much of them is white", 0.0, 100.0),
    "background.two_greys": _number(0.0, "share of them that is black and white alone, split at a random grey", 0, 1),
    "background.reshaded": _number(
        0.0, "share of them whose greys span another range, any to any, and whose colours fade", 0, 1
    ),
    "background.mixed": _number(0.0, "share of them that end where a third one is dark, and another goes on", 0, 1),
    "background.copies": _number(0, "up to so many more of the object stand in a composite's background", 0, 8),
    "background.pictured_share": _number(0.0, "share of each batch that stands before any of these", 0, 1),
    "background.tiles": _number(2, "a generated background is this many tiles wide and high", 1, 16),
    "background.width": _number(
        128, "channels of f_b at its noise's size; half as many at twice of it, and so on", 8, 512
    ),
    "background.move": _switch(True, "roll, mirror and transpose each background at random"),
    "background.recolour": _switch(False, "show what f_b paints in random colours: on RGB it ends at one or two"),
    "background.ascent_steps": _number(
        0, "from what f_b painted, the gradient's sign is followed so often to each image's worst background", 0, 1000
    ),
    "background.ascent_budget": _number(1.0, "largest change of a pixel by that from the image as it is", 0.0, 1.0),
    "background.brightness_weight": _number(1.0, "weight of relu(mean(b) - 0.5), one-channel data only", 0.0),
    "background.ink_share": _number(0.0, "share of the composites whose object is ink of another background", 0, 1),
    "background.ink_contrast": _number(0.25, "least difference of ink and background, in [0, 1] pixel values", 0, 0.5),
    "background.negative_share": _number(0.0, "and of those whose object is the negative of its background", 0, 1),
    "background.plain_share": _number(0.25, "share of each batch that keeps its own background", 0.0, 1.0),
    "play.worlds": _number(
        8, "worlds that are played side by side, a move in each step; with task q_learning", 1, 4096
    ),
    "play.memory": _number(20000, "the last moves, of which each step draws its batch", 1),
    "play.discount": _number(0.97, "what a reward is worth a move later", 0.0, 1.0),
    "play.exploring": _number(0.2, "share of the steps in which random moves become few", 0.0, 1.0),
    "log_every": _number(50, "steps between two lines of the log", 1),
    "checkpoint_every": _number(500, "steps between two checkpoints", 1),
    "checkpoint_keep_every": _number(
        0, "steps between two checkpoints that are kept for good, a multiple of checkpoint_every; 0 keeps none so", 0
    ),
    "evaluate_every": _number(0, "steps between two scores of the images that are held out; 0 scores never", 0),
    "checkpoints_kept": _number(2, "the newest checkpoints that are kept", 1),
}
