"""The networks as pure functions of their parameters, and the Flax modules behind them."""
