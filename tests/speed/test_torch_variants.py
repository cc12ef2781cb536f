"""PyTorch's variants start clean, leave nothing behind, and tell where they fall back to eager."""

import gc
import weakref

import numpy as np
import pytest

from bginv_jax import config as configs
from bginv_jax.data.dataset import Dataset, Split
from bginv_jax.speed import peer, timing

torch = pytest.importorskip("torch")
from bginv_jax.speed import torch_peer, torch_variants  # noqa: E402  they import torch


@pytest.fixture(autouse=True)
def without_code_generation(monkeypatch):
    """Functions are traced and guarded as always, and run as traced: PyTorch's own compilers take half a minute."""
    monkeypatch.setattr(
        torch_variants, "_MODES", {"compile": {"backend": "eager"}, "reduce-overhead": {"backend": "eager"}}
    )


class _Sum:
    def __init__(self, count):
        self.terms = [1.0] * count

    def of(self, x):
        return sum(term * x for term in self.terms)


def _call(count):
    """Compiles one function anew for every count."""
    assert torch_variants.compiled(_Sum(count).of, "compile")(torch.ones(2)).tolist() == [count, count]


@pytest.fixture
def limit():
    """How often PyTorch compiles one function before it gives up."""
    with torch._dynamo.config.patch(cache_size_limit=2):
        yield 2


def test_each_clean_start_compiles_anew(limit):
    for count in range(1, limit + 3):
        with torch_variants.clean_start():
            _call(count)
            assert torch_variants.shortfalls("compile") == []


def test_compiling_that_is_given_up_is_an_error(limit):
    with torch_variants.clean_start():
        for count in range(1, limit + 1):
            _call(count)
        with pytest.raises(Exception, match="limit"):
            _call(limit + 1)
    with torch_variants.clean_start():
        _call(limit + 1)


def test_what_was_not_compiled_is_told():
    with torch_variants.clean_start():
        assert torch_variants.shortfalls("eager") == []
        assert torch_variants.shortfalls("compile") == ["fell back to eager: nothing was compiled"]

        def breaks(x):
            y = x + 1
            torch._dynamo.graph_break()
            return y * 2

        torch_variants.compiled(breaks, "compile")(torch.ones(2))
        (reason,) = torch_variants.shortfalls("compile")
        assert reason.startswith("partly eager: the graph breaks: ")
    with torch_variants.clean_start():
        _call(2)
        torch_variants.counters["inductor"]["cudagraph_skips"] = 3
        assert torch_variants.shortfalls("compile") == []
        assert torch_variants.shortfalls("reduce-overhead") == ["partly without CUDA graphs: 3 skipped"]


@pytest.fixture
def digits():
    random = np.random.RandomState(0)
    train = Split(random.randint(0, 256, (32, 16, 16, 1)).astype(np.uint8), (np.arange(32) % 3).astype(np.int32))
    return Dataset("noise", train, train, ("a", "b", "c"), (16, 16, 1))


@pytest.fixture
def config():
    config = configs.default_config()
    config.batch_size = 8
    return config


def test_a_variant_that_is_over_holds_no_memory(config, digits, monkeypatch):
    trainers = []

    class Noted(torch_peer.Trainer):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            trainers.append(weakref.ref(self))

    monkeypatch.setattr(torch_peer, "Trainer", Noted)
    with peer.started(config, digits, ("f",), "eager") as run:
        assert set(run(1)) == {"loss", "accuracy"}
        assert trainers[0]() is not None
    gc.collect()
    assert trainers[0]() is None
    assert run is not None


@pytest.mark.parametrize("active", [("f",), ("f", "f_b")], ids="+".join)
def test_both_variants_are_tried_whole(config, digits, monkeypatch, active):
    monkeypatch.setattr(timing, "warm_up", lambda run: (run(2), (0.5, 0.25))[1])
    trials = peer.try_variants(config, digits, active)
    assert trials == [peer.Trial("eager", 0.5, 0.25), peer.Trial("compile", 0.5, 0.25)]


def test_a_variant_that_fails_says_why_and_the_others_go_on(config, digits, monkeypatch):
    def fail(function, **options):
        raise RuntimeError("no compiler\nand a long story") from ValueError("no g++")

    monkeypatch.setattr(torch, "compile", fail)
    eager, failed = peer.try_variants(config, digits, ("f",))
    assert eager.step_seconds > 0
    assert failed == peer.Trial("compile", None, None, ("failed: RuntimeError: no compiler; ValueError: no g++",))
    assert peer.fastest([eager, failed]) == eager


def test_a_peer_without_the_gpu_is_refused(config, digits, monkeypatch):
    monkeypatch.setattr(peer.hardware, "on_cpu", lambda: False)
    monkeypatch.setattr(peer.hardware, "describe", lambda: "1 NVIDIA H100")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="--peer=torch: JAX runs on 1 NVIDIA H100, and this PyTorch finds no GPU"):
        peer.try_variants(config, digits, ("f",))
