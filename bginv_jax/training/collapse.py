"""Whether the masks of f_m have collapsed, and how."""

import logging

_LOG = logging.getLogger(__name__)

_FLAT = 0.05  # a mask whose largest and smallest value differ by less, on average, shows no object
_EMPTY, _FULL = 0.005, 0.95  # share of the image


def describe(metrics: dict[str, float], *, trained: bool = True) -> str | None:
    """Says how the mask of f_m has collapsed, or None; needs the metrics mask_area and mask_contrast.

    A collapsed mask is (almost) 0 or 1 everywhere: the sigmoid is saturated, gets no gradient and seldom recovers. Once
    f_m is `trained` enough to be used, a mask that is the same everywhere is no better.
    """
    if "mask_area" not in metrics:
        return None
    area, contrast = metrics["mask_area"], metrics["mask_contrast"]
    if area < _EMPTY:
        return f"the mask is 0 almost everywhere (mean {area:.4f})"
    if area > _FULL:
        return f"the mask is 1 almost everywhere (mean {area:.4f})"
    if trained and contrast < _FLAT:
        return f"the mask is the same everywhere (mean {area:.4f}, contrast {contrast:.4f})"
    return None


def warn(step: int, metrics: dict[str, float], *, trained: bool = True) -> None:
    """Logs a warning if the masks that the metrics describe have collapsed."""
    collapse = describe(metrics, trained=trained)
    if collapse:
        _LOG.warning("step %d: mask collapsed: %s", step, collapse)
