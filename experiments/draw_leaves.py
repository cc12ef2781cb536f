"""Draws leaves of four invented kinds before a studio's paper and in a field: python experiments/draw_leaves.py

A folder to try photographs with, where there is none: --output/{train,test,field}/CLASS/NUMBER.png, and the true masks
of the tests in --output/masks. In the studio the paper's colour depends on the class, as a photographer's day does; in
the field other leaves and shadows stand behind. Two minutes.
"""

import numpy as np
from absl import flags
from PIL import Image
from scipy import ndimage

from bginv_jax import command_line, files

SIDE = 160
# The colour of a blade, its width, how many teeth its edge has, the spots of its illness and the studio's paper.
KINDS = {
    "broad_healthy": ((70, 140, 60), 0.62, 0, None, (196, 190, 205)),
    "broad_rust": ((84, 142, 58), 0.62, 0, ((190, 105, 30), 26, 0.025), (168, 176, 196)),
    "toothed_blight": ((62, 122, 62), 0.44, 18, ((96, 72, 48), 7, 0.085), (206, 206, 200)),
    "toothed_mould": ((78, 132, 76), 0.44, 18, ((206, 204, 150), 14, 0.05), (150, 146, 152)),
}
_VEINS = 7
_SPLITS = {"train": 120, "test": 25, "field": 25}


def noise(random: np.random.RandomState, blur: float) -> np.ndarray:
    """Smooth noise (SIDE, SIDE) of mean 0 and deviation 1."""
    field = ndimage.gaussian_filter(random.normal(size=(SIDE, SIDE)), blur, mode="wrap")
    return (field - field.mean()) / field.std()


def leaf(random: np.random.RandomState, kind: str, *, place: np.ndarray, scale: float, ill: bool = True):
    """A leaf of a kind: colours (SIDE, SIDE, 3), and how much of each pixel it covers (SIDE, SIDE, 1)."""
    colour, width, teeth, illness, _ = KINDS[kind]
    angle = random.uniform(0, 2 * np.pi)
    down, right = np.indices((SIDE, SIDE)) / SIDE - np.reshape(place, (2, 1, 1))
    along = (np.cos(angle) * right + np.sin(angle) * down) / scale  # -1 at the stalk, 1 at the tip
    across = (np.cos(angle) * down - np.sin(angle) * right) / scale + 0.12 * random.normal() * (along**2 - 1)
    half = (
        width
        * random.uniform(0.85, 1.15)
        * np.sqrt(np.clip(1 - along**2, 0, None))
        * np.clip(1 - 0.45 * along, 0, None) ** 0.8
    )
    if teeth:
        half *= 1 + 0.1 * (np.mod(teeth * along / 2, 1) - 0.5)
    cover = np.clip((half - np.abs(across)) * scale * SIDE + 0.5, 0, 1) * (np.abs(along) < 1)
    stalk = (np.abs(across) < 0.025) & (along > -1.35) & (along < 0)
    spread = _VEINS * (along - 0.75 * np.abs(across))
    veins = np.exp(-((np.mod(spread, 1) - 0.5) ** 2) / 0.006) * 0.5 + np.exp(-((across / 0.02) ** 2))
    shade = 1 + 0.07 * noise(random, 5) + 0.05 * noise(random, 1) + 0.25 * across + 0.22 * np.clip(veins, 0, 1)
    drawn = np.array(colour) * random.uniform(0.85, 1.15) * shade[..., None] + random.normal(0, 6, 3)
    if ill and illness:
        (spot, count, size), ragged = illness, 0.18 * noise(random, 3)
        for _ in range(random.randint(count // 2, count + 1)):
            at = random.uniform(-0.85, 0.85, 2) * (1, width)
            far = np.hypot(along - at[0], across - at[1]) / (size * random.uniform(0.6, 1.5) / scale) + ragged
            drawn = np.where(far[..., None] < 1.35, drawn * 0.6 + np.array((150, 140, 30)) * 0.4, drawn)
            drawn = np.where(far[..., None] < 1, np.array(spot) * (0.75 + 0.25 * far[..., None]), drawn)
    drawn = np.where(stalk[..., None] & (cover < 0.5)[..., None], np.array(colour) * 1.1, drawn)
    return np.clip(drawn, 0, 255), np.maximum(cover, stalk)[..., None]


def studio(random: np.random.RandomState, kind: str) -> np.ndarray:
    """Paper of the class's colour, under a lamp."""
    down, right = np.indices((SIDE, SIDE)) / SIDE - random.uniform(0.2, 0.8, (2, 1, 1))
    light = 1.08 - 0.3 * (down**2 + right**2) + 0.012 * noise(random, 0.6)
    return np.array(KINDS[kind][4]) * light[..., None] + random.normal(0, 5, 3)


def field(random: np.random.RandomState) -> np.ndarray:
    """Earth or grass, leaves that are ill of nothing, and shadows."""
    earth = np.array(((112, 88, 62), (86, 110, 58), (140, 130, 112), (150, 175, 205))[random.randint(4)], float)
    scene = earth * (1 + 0.2 * noise(random, 6) + 0.12 * noise(random, 1))[..., None]
    for _ in range(random.randint(3, 9)):
        kind = "broad_healthy" if random.randint(2) else "toothed_blight"
        scale = random.uniform(0.15, 0.5)
        other, cover = leaf(random, kind, place=random.uniform(0, 1, 2), scale=scale, ill=False)
        tint = np.array((70, 115, 55)) * random.uniform(0.5, 1.3)
        scene += cover * (0.4 * other + 0.6 * tint - scene)
    return scene * (1 + 0.3 * np.tanh(2 * noise(random, 14)))[..., None]


def picture(random: np.random.RandomState, kind: str, *, outside: bool) -> tuple[np.ndarray, np.ndarray]:
    """A picture (SIDE, SIDE, 3) and the mask of its leaf (SIDE, SIDE), uint8."""
    scale = random.uniform(0.24, 0.42) if outside else random.uniform(0.36, 0.44)
    place = 0.5 + random.uniform(-1, 1, 2) * (0.15 if outside else 0.04)
    drawn, cover = leaf(random, kind, place=place, scale=scale)
    scene = field(random) if outside else studio(random, kind)
    shadow = ndimage.gaussian_filter(np.roll(cover[..., 0], (5, 4), (0, 1)), 3)[..., None]
    scene = scene * (1 - (0.3 if outside else 0.45) * shadow)
    scene += cover * (drawn - scene)
    scene = ndimage.gaussian_filter(scene, (0.6, 0.6, 0)) * (random.uniform(0.7, 1.2) if outside else 1)
    return np.clip(scene, 0, 255).astype(np.uint8), (255 * (cover[..., 0] > 0.5)).astype(np.uint8)


def main() -> None:
    values = flags.FLAGS
    output = files.check_folder(values.output, field="--output", folders=(*_SPLITS, "masks"))
    random = np.random.RandomState(values.seed)
    for split, count in _SPLITS.items():
        for kind in KINDS:
            place, marked = output / split / kind, output / "masks" / split / kind
            for folder in (place,) if split == "train" else (place, marked):
                folder.mkdir(parents=True, exist_ok=True)
            for number in range(count):
                drawn, mask = picture(random, kind, outside=split == "field")
                Image.fromarray(drawn).save(place / f"{number:03}.png")
                if split != "train":
                    Image.fromarray(mask).save(marked / f"{number:03}.png")
    print(f"written to {output}: {', '.join(_SPLITS)}, masks")


if __name__ == "__main__":
    command_line.define_path("output", "runs/drawn", "The folder, made where it is missing.")
    flags.DEFINE_integer("seed", 0, "Of all that is drawn.", lower_bound=0)
    command_line.run(main, required=[])
