"""How a config becomes steps: the one place where its fields become the options of state, feed and step.

Training and the benchmark wire a run by the same functions, so that what is timed is what trains.
"""

import dataclasses
import functools
import logging
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from bginv_jax.backgrounds import photographs
from bginv_jax.config import rate_field
from bginv_jax.data import rows
from bginv_jax.data.dataset import Dataset, Description, fingerprint
from bginv_jax.data.pictures import cache_folder
from bginv_jax.errors import InputError
from bginv_jax.images.pixels import as_float, backdrop
from bginv_jax.images.variety import Variety
from bginv_jax.methods.contract import Layout, Method, Networks
from bginv_jax.methods.registry import METHODS, make_method
from bginv_jax.methods.schedule import Phase, make_phases
from bginv_jax.networks.averaging import AVERAGE, restarted
from bginv_jax.networks.classifiers import STAGED, frozen_parameters
from bginv_jax.networks.pretrained import IMAGENET, find_weights, fit_weights, load_weights
from bginv_jax.training import collapse, reinforcement, stream
from bginv_jax.training import devices as hardware
from bginv_jax.training.feed import BatchPlan, Feed, Resident, ResidentFeed, StreamedFeed, own_positions, plan_batch
from bginv_jax.training.state import (
    Optimizers,
    TrainState,
    init_state,
    make_optimizers,
    split_seeds,
    split_variables,
    stack_seeds,
    without_params,
)
from bginv_jax.training.step import Learning, make_train_step
from bginv_jax.worlds.contract import World
from bginv_jax.worlds.registry import find_world

_SAMPLE = 2000  # images; enough to tell a backdrop from what stands before it
_CACHE_PIXELS = 8 * 32 * 32  # of the images whose activations fit the cache of a CPU core
_LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Run:
    """What stays the same from the first step to the last."""

    config: ConfigDict
    dataset: Dataset
    method: Method
    optimizers: Optimizers
    phases: tuple[Phase, ...]
    plan: BatchPlan
    devices: list[jax.Device]
    pictures: np.ndarray | None

    @property
    def world(self) -> World | None:
        """What is played, where the data set is one of a world."""
        return find_world(self.dataset.name)

    @property
    def several_seeds(self) -> bool:
        return bool(self.config.seeds)

    @functools.cached_property
    def description(self) -> Description:
        """Of the data set, of the photographs that stand behind its objects, and of f's pretrained weights.

        Weights that are no longer where they were are not noted: a run that goes on does without.
        """
        description = self.dataset.description
        if self.pictures is not None and self.config.background.photographs:
            description = dataclasses.replace(description, photographs=fingerprint(self.pictures))
        weights = find_weights(self.config.classifier_weights) if self.config.classifier_weights else None
        return dataclasses.replace(description, weights=weights.sha256) if weights else description

    def init(self) -> TrainState:
        """The state before the first step: of the one seed, or of all `config.seeds` together.

        Raises:
          InputError: if config.classifier_weights cannot be read or do not fit, before anything compiles.
        """
        insert = self._pretrained()
        # As one program, which all seeds share: operation by operation a first start takes several seconds more.
        init = jax.jit(self._init_one)
        return self._together([insert(init(seed)) for seed in self._seeds])

    def shapes(self) -> TrainState:
        """The shapes of `init`'s state; no weights are read for them."""
        return jax.eval_shape(lambda: self._together([self._init_one(seed) for seed in self._seeds]))

    @property
    def _seeds(self) -> tuple[int, ...]:
        return self.config.seeds or (self.config.seed,)

    def _init_one(self, seed: int) -> TrainState:
        state = init_state(seed, self.method.init, self.optimizers)
        if self.world is None:
            return state
        play = self.config.play
        return state._replace(
            memory=reinforcement.begin(state.key, self.world, worlds=play.worlds, capacity=play.memory)
        )

    def _together(self, states: Sequence[TrainState]) -> TrainState:
        return stack_seeds(states) if self.several_seeds else states[0]

    def _pretrained(self) -> Callable[[TrainState], TrainState]:
        """What puts pretrained weights, all but the head, in the place of f's initial ones."""
        weights = self.config.classifier_weights
        if not weights:
            return lambda state: state
        tensors, kind = load_weights(weights), STAGED[self.config.classifier]

        def insert(state: TrainState) -> TrainState:
            before = state.networks()["f"]
            fitted = fit_weights(kind.names, tensors, {name: before[name] for name in before if name != AVERAGE})
            params, statistics = split_variables({"f": restarted(fitted) if AVERAGE in before else fitted})
            return state._replace(params={**state.params, **params}, statistics={**state.statistics, **statistics})

        try:
            insert(jax.eval_shape(self._init_one, 0))
        except InputError as error:
            given = f"config.classifier_weights is {weights!r}, for classifier {self.config.classifier}"
            raise InputError(f"{given}: {error}") from error
        _LOG.info("f starts from the weights %s, all but its head", weights)
        if kind.note and weights != IMAGENET:
            _LOG.info("%s", kind.note)
        # Copies: steps write into the state, whose weights and average must not lie in one place.
        return lambda state: jax.tree.map(jnp.array, insert(state))

    def of_each_seed(self, networks: Networks) -> list[Networks]:
        """Variables of a state as those of each of its seeds."""
        return split_seeds(networks, len(self.config.seeds)) if self.several_seeds else [networks]

    @functools.cached_property
    def streams(self) -> bool:
        """Whether the training set stays on the host, in its file if it lies in one."""
        images = self.dataset.train.images
        set_bytes = images.nbytes + images.nbytes // images.shape[-1] * max(1, len(self.config.seeds))  # with masks
        return stream.is_needed(self.config.data.stream, set_bytes=set_bytes, device_bytes=hardware.memory())

    def make_feed(self, phase: Phase, networks: Networks, *, masks: np.ndarray | None = None) -> Feed:
        """The training set on the devices or streamed to them, with the masks that the phase's composites take.

        Unless they are given, they are made once, by `networks`, which do not change in the phase.
        """
        if self.streams:
            return self._make_stream(phase, networks, masks)
        if masks is None and self.method.takes_masks(phase.networks) and self.world is None:
            masks = self._ready_masks(phase, networks)
        train = self.dataset.train
        data = Resident(train.images, train.targets, masks, self.pictures)  # type: ignore[arg-type]  # on the host yet
        return ResidentFeed(data, self.plan.batch_size, self.devices, several_seeds=self.several_seeds)

    def _make_stream(self, phase: Phase, networks: Networks, masks: np.ndarray | None) -> StreamedFeed:
        of_seeds: Sequence[np.ndarray | None] = [None] * max(1, len(self.config.seeds))
        if masks is not None:
            of_seeds = list(masks) if self.several_seeds else [masks]
        elif self.method.takes_masks(phase.networks):
            of_seeds = [self._streamed_masks(phase, own) for own in self.of_each_seed(networks)]
        places = own_positions(self.plan, self.devices)
        reads = [
            stream.make_reader(self.dataset.train, self.plan.batch_size, masks=own, places=places) for own in of_seeds
        ]
        return StreamedFeed(reads, self.plan, self.devices, pictures=self.pictures, several_seeds=self.several_seeds)

    def _streamed_masks(self, phase: Phase, networks: Networks) -> np.ndarray | None:
        """As `_ready_masks` of one seed, in a file; None where none can be written, and each step makes its own."""
        predict = hardware.make_forward(self.method.ready_masks, self.devices)
        parts = (self._as_kept(predict(networks, part)) for part in rows.chunks(self.dataset.train.images))
        try:
            masks = rows.store(parts, cache_folder())
        except OSError as error:
            _LOG.warning("masks are made in each step, since they cannot be kept: %s", error)
            return None
        self._report(phase, as_float(rows.take(masks, slice(_SAMPLE))))
        return masks

    def _ready_masks(self, phase: Phase, networks: Networks) -> np.ndarray:
        """(M, S, S, 1), of several seeds with a leading axis of seeds; uint8 where they are binary."""
        predict = hardware.make_forward(self.method.ready_masks, self.devices)
        masks = np.stack([predict(of_seed, self.dataset.train.images) for of_seed in self.of_each_seed(networks)])
        for seed_masks in masks:
            self._report(phase, seed_masks)
        masks = self._as_kept(masks)
        return masks if self.several_seeds else masks[0]

    def _as_kept(self, masks: np.ndarray) -> np.ndarray:
        return (255 * masks).astype(np.uint8) if self.method.binary_masks else masks

    def _report(self, phase: Phase, masks: np.ndarray) -> None:
        """Says of masks in [0, 1] whether they show anything."""
        mean, contrast = float(masks.mean()), float(np.ptp(masks, axis=(1, 2, 3)).mean())
        _LOG.info("masks of %d images: mean %.3f, contrast %.3f", len(masks), mean, contrast)
        collapse.warn(phase.start, {"mask_area": mean, "mask_contrast": contrast})

    def learning(self, phase: Phase) -> Learning:
        """How the steps of a phase learn."""
        fill = None
        if "f_m" in phase.networks and self.config.mask.fill == "backdrop":
            fill = backdrop(rows.take(self.dataset.train.images, slice(_SAMPLE)))
        return Learning(
            method=self.method,
            optimizers=self.optimizers,
            active=phase.networks,
            plan=self.plan,
            augmentation=self.config.augment.to_dict(),
            align_masks=self.config.mask.aligned,
            fill=fill,
            border_fill=self.config.mask.fill == "border",
            variety=Variety(**{name: self.config.background[name] for name in Variety._fields}),
            play=self._play(),
            check_gradients=hardware.on_cpu(),
        )

    def _play(self) -> Callable | None:
        play = self.config.play
        exploring = play.exploring * self.config.steps
        if self.world is None:
            return None
        return reinforcement.make_play(self.world, self.method, discount=play.discount, exploring_steps=exploring)

    def make_step(self, phase: Phase, feed: Feed) -> Callable:
        """The phase's compiled steps on a feed, as `step.make_train_step`."""
        return make_train_step(self.devices, feed, learning=self.learning(phase), several_seeds=self.several_seeds)


def _spread_out(images: np.ndarray, count: int) -> np.ndarray:
    """So many images of a set, or all of a smaller one, evenly spread over its order."""
    return images[np.linspace(0, len(images), min(count, len(images)), endpoint=False, dtype=int)]


def _has_statistics(method: Method) -> bool:
    """Whether a network normalises by its batch, which must then not be of a slice's few images."""
    networks = jax.eval_shape(method.init, jax.random.key(0))
    return any(without_params(variables) for variables in networks.values())


def wire(config: ConfigDict, dataset: Dataset) -> Run:
    """Plans a run of a valid config on a data set; nothing has compiled when it complains.

    Raises:
      InputError: if a field does not suit the data.
    """
    count = len(dataset.train.images)
    if config.batch_size > count:
        raise InputError(f"config.batch_size is {config.batch_size}; allowed: up to {count} images")
    method = make_method(config, dataset.description)
    phases = make_phases(config.schedule, config.steps)
    background, layout = config.background, Layout(config.batch_size)
    if any(method.composes(phase.networks) for phase in phases):
        layout = Layout.of(
            config.batch_size, kept_share=background.plain_share, pictured_share=background.pictured_share
        )
    plan = plan_batch(
        layout,
        dataset.size,
        device_count=hardware.sharing(),
        processes=jax.process_count(),
        cache_pixels=_CACHE_PIXELS if hardware.on_cpu() and not _has_statistics(method) else None,
    )
    pictures = None
    if layout.pictured:
        pictures = photographs.gather(
            photographs=background.photographs,
            families=background.families,
            images=_spread_out(dataset.train.images, background.training_images),
            size=dataset.size,
            channels=dataset.shape[-1],
            repeats=background.repeats,
        )
    rates = {name: config.rate[rate_field(config, name)] for name in METHODS[config.method].networks}
    optimizers = make_optimizers(
        phases,
        rates,
        decay=config.rate.decay,
        weight_decay=config.weight_decay,
        frozen=frozen_parameters(config.classifier_frozen),
        muon=config.muon,
    )
    return Run(config, dataset, method, optimizers, phases, plan, hardware.of_all(plan.devices), pictures)
