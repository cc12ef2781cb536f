"""The three networks in PyTorch, with the parameters of `networks`: for the benchmark's peer.

Images are NCHW float32 in [0, 1] laid out channels last, masks (N, 1, S, S).
"""

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from bginv_jax.networks.contract import block_count


def _filters(size: int) -> list[int]:
    return [32 * 2**i for i in range(block_count(size))]


def _convolutions(channels: list[int]) -> nn.ModuleList:
    return nn.ModuleList(nn.Conv2d(i, o, 3, padding=1) for i, o in itertools.pairwise(channels))


def _upsample(x: torch.Tensor) -> torch.Tensor:
    return F.interpolate(x, scale_factor=2, mode="nearest")


class Classifier(nn.Module):
    """f: images (N, C, S, S) -> logits (N, classes)."""

    def __init__(self, size: int, channels: int, classes: int):
        super().__init__()
        filters = _filters(size)
        self.convolutions = _convolutions([channels, *filters])
        self.hidden = nn.Linear(filters[-1] * (size // 2 ** len(filters)) ** 2, 128)
        self.logits = nn.Linear(128, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for convolution in self.convolutions:
            # The same as relu before pooling, on a quarter of the pixels.
            x = F.relu(F.max_pool2d(convolution(x), 2), inplace=True)
        x = x.permute(0, 2, 3, 1).flatten(1)  # the layout in memory, so nothing is copied
        return self.logits(F.relu(self.hidden(x), inplace=True))


class MaskGenerator(nn.Module):
    """f_m: images (N, C, S, S) -> masks (N, 1, S, S) in [0, 1]."""

    def __init__(self, size: int, channels: int):
        super().__init__()
        filters = _filters(size)
        self.down = _convolutions([channels, *filters])
        self.middle = nn.Conv2d(filters[-1], filters[-1], 3, padding=1)
        inputs = [filters[-1], *(2 * count for count in reversed(filters))]
        self.up = nn.ModuleList(nn.Conv2d(i, o, 3, padding=1) for i, o in zip(inputs, reversed(filters), strict=False))
        self.last = nn.Conv2d(inputs[-1], 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skips = []
        for convolution in self.down:
            skips.append(F.relu(convolution(x), inplace=True))
            x = F.max_pool2d(skips[-1], 2)
        x = F.relu(self.middle(x), inplace=True)
        for convolution in self.up:
            x = F.relu(convolution(_upsample(x)), inplace=True)
            x = torch.cat([x, skips.pop()], 1)
        return torch.sigmoid(self.last(x))


class BackgroundGenerator(nn.Module):
    """f_b: noise (N, C, s, s) -> tiles (N, C, s * 2^n, s * 2^n) in [0, 1], where n is `upsamplings`."""

    def __init__(self, upsamplings: int, channels: int):
        super().__init__()
        filters = [128, *(max(128 >> (i + 1), 8) for i in range(upsamplings))]
        self.convolutions = _convolutions([channels, *filters])
        self.last = nn.Conv2d(filters[-1], channels, 1)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        x = F.leaky_relu(self.convolutions[0](z), 0.2, inplace=True)
        for convolution in self.convolutions[1:]:
            x = F.leaky_relu(convolution(_upsample(x)), 0.2, inplace=True)
        return torch.sigmoid(self.last(x))


def make_networks(size: int, channels: int, classes: int, *, tiles: int) -> dict[str, nn.Module]:
    """The networks by name, channels last, for images (C, S, S); f_b's backgrounds are `tiles` wide and high."""
    networks: dict[str, nn.Module] = {
        "f": Classifier(size, channels, classes),
        "f_m": MaskGenerator(size, channels),
        "f_b": BackgroundGenerator(block_count(size // tiles), channels),
    }
    return {name: network.to(memory_format=torch.channels_last) for name, network in networks.items()}


def in_its_layout(network: nn.Module, tree: Mapping[str, Any]) -> Iterator[tuple[nn.Parameter, torch.Tensor]]:
    """Each parameter of `network` beside the array of a Flax tree, of parameters or gradients, that belongs to it."""
    counts = {"Conv3x3": 0, "Dense": 0}
    for module in network.modules():
        if not isinstance(module, nn.Conv2d | nn.Linear):
            continue
        kind = "Conv3x3" if module.weight.shape[2:] == (3, 3) else "Dense"
        entry = tree[f"{kind}_{counts[kind]}"]
        counts[kind] += 1
        kernel = torch.from_numpy(np.array(entry["kernel"]))  # HWIO, or IO of a dense layer
        axes = (3, 2, 0, 1) if kernel.ndim == 4 else (1, 0)
        yield module.weight, kernel.permute(axes).reshape(module.weight.shape)
        yield module.bias, torch.from_numpy(np.array(entry["bias"]))


@torch.no_grad()
def load_flax(networks: Mapping[str, nn.Module], params: Mapping[str, Any]) -> None:
    """Copies the parameters of `bginv_jax.networks`, by network name, into these networks."""
    for name, network in networks.items():
        for parameter, values in in_its_layout(network, params[name]):
            parameter.copy_(values)
