"""How XLA compiles in tests. What is compiled computes the same."""

from importlib.metadata import version

# Most of the suite's time is compiling, which takes a quarter as long without LLVM's optimisations and with XLA's older
# way to emit what it fused, for which later versions have no flag; they end at one that they do not know.
_OLDER_EMITTERS = tuple(map(int, version("jaxlib").split(".")[:2])) <= (0, 10)
QUICK = "--xla_backend_optimization_level=0" + (" --xla_cpu_use_fusion_emitters=false" if _OLDER_EMITTERS else "")
