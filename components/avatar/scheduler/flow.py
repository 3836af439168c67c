"""Flow matching on straight paths: `x_t = (1-t)·x0 + t·n`, t in [0,1] (t = 1 is noise).

The network may predict the clean sample x0, the velocity `v = n - x0 = (x_t - x0)/t`, or a preconditioned
residual: what the best linear guess from x_t alone leaves open, in units of its own spread (EDM, Karras et
al. 2022, equation 7, on this path). The loss is always written on x0 with weight `min(1/t², cap)`: cap = ∞
is the velocity's own loss, whatever is predicted.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.schedulers.scheduling_utils import SchedulerMixin
from torch import Tensor

Prediction = Literal["x0", "velocity", "preconditioned"]
TRAIN_TIMESTEPS = 1000
"""Wan's networks are told 1000·t."""
SMALLEST_T = 1e-3


class FlowMatching(SchedulerMixin, ConfigMixin):
    """The path between data and noise, its training weights and its sampler (Euler, deterministic).

    Args:
        shift: moves times towards noise, `t ← s·t / (1 + (s-1)·t)`; 3 for 480p, 5 for 720p in Wan.
        prediction: what the network's output means.
        weight_cap: upper bound of the loss weight on x0.
    """

    order = 1

    @register_to_config
    def __init__(
        self,
        shift: float = 3.0,
        prediction: Prediction = "x0",
        weight_cap: float = 1.5,
    ) -> None:
        if shift <= 0 or weight_cap <= 0 or prediction not in get_args(Prediction):
            raise ValueError(
                f"shift {shift}, weight_cap {weight_cap}, prediction {prediction!r} do not make sense"
            )

    def shifted(self, t: Tensor) -> Tensor:
        """Uniform times in [0,1] → shifted times in [0,1]."""
        return self.config.shift * t / (1 + (self.config.shift - 1) * t)

    def sample_times(self, uniform: Tensor) -> Tensor:
        """Training times from uniform numbers in [0,1): shifted and kept off 0."""
        return self.shifted(uniform).clamp(SMALLEST_T, 1.0)

    def add_noise(self, x0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """`x_t`; t broadcasts to x0."""
        return (1 - t) * x0 + t * noise

    def to_input(self, x_t: Tensor, t: Tensor, spread: Tensor | float = 1.0) -> Tensor:
        """What the network is shown of x_t, the same shape; t and spread as in `to_x0`.

        "preconditioned": the linear guess of x0 itself, `(1-t)s²/v · x_t`: near t = 1 it is next to nothing,
        as x_t says next to nothing there, and plain noise would drown what the conditions say. Otherwise x_t.
        """
        if self.config.prediction != "preconditioned":
            return x_t
        return self._linear_guess(x_t, t, spread)[0]

    def _linear_guess(self, x_t: Tensor, t: Tensor, spread: Tensor | float) -> tuple[Tensor, Tensor]:
        """The best linear guess of x0 from x_t, and the standard deviation that it leaves open."""
        signal = (1 - t) * spread
        variance = signal.square() + t.square()
        return signal * spread / variance * x_t, t * spread * variance.rsqrt()

    def to_x0(self, output: Tensor, x_t: Tensor, t: Tensor, spread: Tensor | float = 1.0) -> Tensor:
        """The clean sample that the network's output stands for.

        Args:
            output, x_t: (B,C,F,h,w). t: broadcasts to them.
            spread: standard deviation of x0, broadcasting to it; only "preconditioned" asks for it:
                `x0 = (1-t)s²/v · x_t + t·s/√v · output` with `v = (1-t)²s² + t²`.
        """
        if self.config.prediction == "x0":
            return output
        if self.config.prediction == "velocity":
            return x_t - t * output
        guess, left_open = self._linear_guess(x_t, t, spread)
        return guess + left_open * output

    def weight(self, t: Tensor) -> Tensor:
        """Loss weight of the squared error on x0, `min(1/t², cap)`."""
        return t.clamp(min=SMALLEST_T).pow(-2).clamp(max=self.config.weight_cap)

    def times(self, steps: int) -> Tensor:
        """The sampler's times (steps+1,), from 1 down to 0.

        Raises:
            ValueError: fewer than one step.
        """
        if steps < 1:
            raise ValueError(f"steps must be at least 1, got {steps}")
        return self.shifted(torch.linspace(1, 0, steps + 1, dtype=torch.float64)).float()

    def step(self, x_t: Tensor, x0: Tensor, t: Tensor, t_next: Tensor) -> Tensor:
        """One Euler step along the straight line through x_t and the predicted x0."""
        return x0 + (t_next / t) * (x_t - x0)
