"""How XLA compiles in tests. What is compiled computes the same."""

# Most of the suite's time is compiling, which takes a quarter as long without LLVM's optimisations and with XLA's older
# way to emit what it fused.
QUICK = "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"
