"""The same steps, written idiomatically in PyTorch, to compare speed with.

Only the benchmark needs PyTorch. Images are NCHW float32 in [0, 1] laid out channels last, masks (N, 1, S, S).
"""

import functools
import operator
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from ml_collections import ConfigDict
from torch import nn

from bginv_jax.methods.contract import Layout
from bginv_jax.networks.contract import block_count
from bginv_jax.speed import peer_fields, torch_variants
from bginv_jax.speed.torch_networks import make_networks


def dilate(m: torch.Tensor, radius: torch.Tensor, *, largest: int) -> torch.Tensor:
    """As `images.masks.dilate`: a disk is a union of rectangles, and a dilation by a rectangle is max pooling."""
    dilated = [m]
    for r in range(1, largest + 1):
        widths = {int((r * r - h * h) ** 0.5): h for h in range(r + 1)}  # of each width, the highest rectangle
        pooled = [F.max_pool2d(m, (2 * h + 1, 2 * w + 1), 1, (h, w)) for w, h in widths.items()]
        for other in pooled[1:]:
            pooled[0] = torch.maximum(pooled[0], other)
        dilated.append(pooled[0])
    return torch.stack(dilated)[radius, torch.arange(len(m), device=m.device)] if largest else m


def move(images: torch.Tensor, shifts: torch.Tensor, turns: torch.Tensor) -> torch.Tensor:
    """Rolls by shifts (N, 2), then turns upside down, mirrors and transposes where turns (N, 3) are true."""
    n, channels, size, _ = images.shape
    place = torch.arange(size, device=images.device)
    turned = torch.where(turns[:, :2, None], size - 1 - place, place)
    rows, columns = ((turned - shifts[..., None]) % size).unbind(1)
    numbers = rows[:, :, None] * size + columns[:, None]
    numbers = torch.where(turns[:, 2, None, None], numbers.mT, numbers)
    return images.flatten(2).gather(2, numbers.reshape(n, 1, -1).expand(-1, channels, -1)).view(images.shape)


def affine(layers: torch.Tensor, matrix: torch.Tensor, offset: torch.Tensor) -> torch.Tensor:
    """layers (N, C, S, S) where matrix (N, 2, 2) and offset (N, 2), in pixels (row, column) from the centre, say.

    What comes from beyond the edge is as the edge.
    """
    theta = torch.cat([matrix, 2 / layers.shape[-1] * offset[..., None]], 2)[:, [1, 0]][:, :, [1, 0, 2]]
    grid = F.affine_grid(theta, list(layers.shape), align_corners=False)
    return F.grid_sample(layers, grid, padding_mode="border", align_corners=False)


def draw_affine(count: int, size: int, augment: dict[str, Any], device: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Random matrices (N, 2, 2) and offsets (N, 2) for `affine`, distributed as those of `augment.augment`."""
    angle, slant, zoom, mirror, *shift = (2 * torch.rand(6, count, device=device) - 1).unbind()
    angle, slant = angle * np.radians(augment["rotation"]), torch.tan(slant * np.radians(augment["shear"]))
    mirror = torch.where(mirror < 0, -1.0, 1.0) if augment["flip"] else torch.ones_like(mirror)
    cosine, sine = torch.cos(angle), torch.sin(angle)
    entries = [cosine - sine * slant, -sine * mirror, sine + cosine * slant, cosine * mirror]
    matrix = torch.stack(entries, 1) * torch.exp(zoom * np.log1p(augment["zoom"]))[:, None]
    return matrix.view(count, 2, 2), size * augment["shift"] * torch.stack(shift, 1)


def augment(
    images: torch.Tensor, masks: torch.Tensor | None, settings: dict[str, Any]
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """As `augment.augment` with binary masks; `settings` is the config's group."""
    n, channels, size, _ = images.shape
    layers = images if masks is None else torch.cat([images, masks], 1)
    if any(value for name, value in settings.items() if name != "brightness"):
        layers = affine(layers, *draw_affine(n, size, settings, images.device))
    images = layers[:, :channels].contiguous(memory_format=torch.channels_last)
    if settings["brightness"]:
        factor = 1 + settings["brightness"] * (2 * torch.rand(n, 1, 1, 1, device=images.device) - 1)
        images = (images * factor).clamp_(max=1)
    return images, None if masks is None else layers[:, channels:].round()


class Draws(NamedTuple):
    """What is random in composites: noise (N * tiles^2, C, s, s), radius (N,), shifts (N, 2) and turns (N, 3)."""

    noise: torch.Tensor
    radius: torch.Tensor
    shifts: torch.Tensor
    turns: torch.Tensor


def _mask_terms(networks, images, targets, mask):
    """f_m's loss with f held still, the masks, and metrics."""
    m = networks["f_m"](images)
    frozen = {name: parameter.detach() for name, parameter in networks["f"].named_parameters()}
    loss = F.cross_entropy(torch.func.functional_call(networks["f"], frozen, (m * images,)), targets)
    area = m.mean((1, 2, 3))
    down, right = (m[:, :, 1:] - m[:, :, :-1]).abs().sum(), (m[..., 1:] - m[..., :-1]).abs().sum()
    total = loss + mask["area_weight"] * F.relu(area - mask["area"]).mean()
    total = total + mask["variation_weight"] * (down + right) / m.numel()
    m = m.detach()
    contrast = (m.amax((1, 2, 3)) - m.amin((1, 2, 3))).mean()
    return total, m, {"mask_loss": loss.detach(), "mask_area": area.detach().mean(), "mask_contrast": contrast}


def _composites(networks, images, masks, draws, settings):
    """Objects on backgrounds, and what the brightness of the backgrounds adds to the scalar, if anything."""
    n, channels, size, _ = images.shape
    background, tiles = settings["background"], settings["background"]["tiles"]
    b = networks["f_b"](draws.noise).view(n, tiles, tiles, channels, size // tiles, size // tiles)
    b = b.permute(0, 3, 1, 4, 2, 5).reshape(images.shape)
    b = move(b, draws.shifts, draws.turns) if background["move"] else b
    composed = torch.lerp(b, images, dilate(masks, draws.radius, largest=settings["mask"]["halo"]))
    composed = composed.contiguous(memory_format=torch.channels_last)
    if channels > 1:
        return composed, []
    return composed, [-background["brightness_weight"] * F.relu(b.mean((1, 2, 3)) - 0.5).mean()]


def objective(
    networks: Mapping[str, nn.Module],
    images: torch.Tensor,
    masks: torch.Tensor | None,
    targets: torch.Tensor,
    draws: Draws | None,
    *,
    active: tuple[str, ...],
    plain: int,
    settings: dict[str, Any],
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """As the objective of `methods.proposal.make_proposal`, for one batch: the scalar of the saddle point, and metrics.

    `draws` are for the composites, which follow the first `plain` images; `settings` are of `peer_fields.settings`.
    """
    # No sum starts at 0: PyTorch 2.14 compiles 0 + loss to the loss itself, and detaching that for the metrics then
    # detaches both.
    terms, metrics, x = [], {}, images
    if "f_m" in active:
        mask_total, masks, metrics = _mask_terms(networks, images, targets, settings["mask"])
        masks, terms = (masks > 0.5).float(), [mask_total]
    if "f_b" in active:
        assert masks is not None, "f_b paints behind masks, given or just made"
        composed, brightness = _composites(networks, images[plain:], masks[plain:], draws, settings)
        x, terms = torch.cat([images[:plain], composed]), [*terms, *brightness]
    if "f" in active:
        logits = networks["f"](x)
        loss = F.cross_entropy(logits, targets)
        metrics |= {"loss": loss.detach(), "accuracy": (logits.detach().argmax(1) == targets).float().mean()}
        terms.append(loss)
    return functools.reduce(operator.add, terms), metrics


class Trainer:
    """Takes steps of one phase on a training set that lies on the device, as `step.train_step` does.

    Args:
      config: whose fields are as `peer_fields` has them.
      images: (M, S, S, C) uint8, padded.
      masks: (M, S, S, 1) uint8, 0 or 255, where the phase composes and f_m does not train; else None.
      targets: (M,) int32.
      classes: how many.
      active: the networks that train.
      variant: of `torch_variants.compiled`.
      device: "cpu" or "cuda".

    Raises:
      InputError: for what this peer does not do.
    """

    def __init__(
        self,
        config: ConfigDict,
        images: np.ndarray,
        masks: np.ndarray | None,
        targets: np.ndarray,
        *,
        classes: int,
        active: tuple[str, ...],
        variant: str = "eager",
        device: str = "cpu",
    ):
        settings = peer_fields.settings(config)
        if device == "cuda":  # as JAX does by default
            torch.set_float32_matmul_precision("high")
            torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.benchmark = True
        self._settings, self._active, self._device = settings, active, device
        self._batch_size = settings["batch_size"]
        self._plain = Layout.of(self._batch_size, kept_share=settings["background"]["plain_share"]).kept
        self._data = [None if a is None else torch.from_numpy(a).to(device) for a in (images, masks)]
        self._targets = torch.from_numpy(targets).long().to(device)
        _, size, _, channels = images.shape
        networks = make_networks(size, channels, classes, tiles=settings["background"]["tiles"])
        self.networks = {name: network.to(device) for name, network in networks.items()}
        self.optimizers = {
            name: torch.optim.Adam(
                self.networks[name].parameters(), settings["rate"][name], fused=True, maximize=name == "f_b"
            )
            for name in active
        }
        self._loss = torch_variants.compiled(self._draw_loss, variant)
        self._done = 0
        self._order: torch.Tensor | None = None

    def _draw_loss(self, chosen):
        """The objective of the batch at places `chosen` of the training set, freshly augmented and composed."""
        floats = [None if a is None else a[chosen].permute(0, 3, 1, 2).float().div(255) for a in self._data]
        x, masks = augment(*floats, self._settings["augment"])
        n, channels, size, _ = x.shape
        n, draws, device = n - self._plain, None, self._device
        if "f_b" in self._active:
            tiles = self._settings["background"]["tiles"]
            seed = size // tiles // 2 ** block_count(size // tiles)
            draws = Draws(
                torch.randn(n * tiles**2, channels, seed, seed, device=device),
                torch.randint(self._settings["mask"]["halo"] + 1, (n,), device=device),
                torch.randint(size, (n, 2), device=device),
                torch.rand(n, 3, device=device) < 0.5,
            )
        return objective(
            self.networks,
            x,
            masks,
            self._targets[chosen],
            draws,
            active=self._active,
            plain=self._plain,
            settings=self._settings,
        )

    def update(self, total: torch.Tensor) -> None:
        """f and f_m descend along the gradient of `total`, f_b ascends."""
        for optimizer in self.optimizers.values():
            optimizer.zero_grad(set_to_none=True)
        total.backward()
        for optimizer in self.optimizers.values():
            optimizer.step()

    def run(self, count: int) -> dict[str, torch.Tensor]:
        """Takes `count` steps, waits for them and returns the metrics of the last."""
        batches = len(self._targets) // self._batch_size
        for _ in range(count):
            if self._done % batches == 0:
                self._order = torch.randperm(len(self._targets), device=self._device)
            assert self._order is not None, "drawn at an epoch's first step"
            first = self._done % batches * self._batch_size
            total, metrics = self._loss(self._order[first : first + self._batch_size])
            self.update(total)
            self._done += 1
        if self._device == "cuda":
            torch.cuda.synchronize()
        return metrics
