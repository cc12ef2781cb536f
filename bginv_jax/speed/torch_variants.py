"""The ways in which PyTorch runs a step, each from a clean start, and whether it did run so.

Compiled functions that fall back to eager say so in a log at most; here they fail, or are counted.
"""

import contextlib
import gc
from collections.abc import Callable, Iterator

import torch
import torch._dynamo as dynamo
from torch._dynamo.utils import counters

_MODES = {"compile": {}, "reduce-overhead": {"mode": "reduce-overhead"}}
# Its names in PyTorch 2.6 and later, and before.
_NO_FALLING_BACK = ("fail_on_recompile_limit_hit", "fail_on_cache_limit_hit")


def compiled(function: Callable, variant: str) -> Callable:
    """The function as it is run by "eager", by "compile", or by "reduce-overhead": as CUDA graphs of that."""
    return torch.compile(function, **_MODES[variant]) if variant in _MODES else function


def _forget() -> None:
    """Frees what nobody holds any more: compiled programs, CUDA graphs and the memory kept for reuse."""
    dynamo.reset()
    counters.clear()
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


@contextlib.contextmanager
def clean_start() -> Iterator[None]:
    """As in a new process: with nothing compiled, no memory taken, and an error where compiling would be given up."""
    flag = next((name for name in _NO_FALLING_BACK if hasattr(dynamo.config, name)), None)
    _forget()
    try:
        with dynamo.config.patch({flag: True} if flag else {}):
            yield
    finally:
        _forget()


def shortfalls(variant: str) -> list[str]:
    """Where the steps since the clean start were not run as the variant says, one reason each."""
    if variant not in _MODES:
        return []
    if not counters["stats"]["unique_graphs"]:
        return ["fell back to eager: nothing was compiled"]
    breaks = [str(reason).strip().partition("\n")[0] for reason in counters["graph_break"]]
    reasons = [f"partly eager: the graph breaks: {reason}" for reason in breaks]
    frames = counters["frames"]
    if frames["total"] > frames["ok"]:
        reasons.append(f"partly eager: {frames['total'] - frames['ok']} of {frames['total']} functions did not compile")
    if variant == "reduce-overhead" and (skips := counters["inductor"]["cudagraph_skips"]):
        reasons.append(f"partly without CUDA graphs: {skips} skipped")
    return reasons
