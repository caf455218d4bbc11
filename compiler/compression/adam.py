"""Adam (Kingma, Ba, arXiv 1412.6980), as torch has it: the optimiser of torch loads its compiler, which takes seconds.

With the gradient g of step t, m = 0.9 m + 0.1 g and v = 0.999 v + 0.001 g^2, a value moves by
-rate * (m / (1 - 0.9^t)) / (sqrt(v / (1 - 0.999^t)) + 1e-8).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

MEAN, SQUARE, LEAST = 0.9, 0.999, 1e-8
"""What m and v keep from step to step, and what is added to the root of v."""


class Adam:
    """Tensors that are trained, each with its learning rate; `squares` are the v of each, in their order."""

    def __init__(self, parameters: Iterable[tuple[torch.Tensor, float]]) -> None:
        import torch

        self.values, self.rates = zip(*((value.requires_grad_(), rate) for value, rate in parameters), strict=True)
        self.means = [torch.zeros_like(value) for value in self.values]
        self.squares = [torch.zeros_like(value) for value in self.values]
        self.steps = 0

    def square_of(self, value: torch.Tensor) -> torch.Tensor:
        """The mean square of the gradients of a tensor that is trained."""
        return next(square for own, square in zip(self.values, self.squares, strict=True) if own is value)

    def forget(self) -> None:
        """Leave no gradient from the step before."""
        for value in self.values:
            value.grad = None

    def limit(self, most: float) -> None:
        """Shorten the gradient of all tensors together to that length where it is longer."""
        import torch

        gradients = [value.grad for value in self.values if value.grad is not None]
        with torch.no_grad():
            length = math.sqrt(sum(float(gradient.square().sum()) for gradient in gradients))
            for gradient in gradients if length > most else ():
                gradient.mul_(most / length)

    def step(self, share: float = 1.0) -> None:
        """Move every tensor that has a gradient, at that share of its learning rate."""
        import torch

        self.steps += 1
        root = math.sqrt(1 - SQUARE**self.steps)
        with torch.no_grad():
            for value, rate, mean, square in zip(self.values, self.rates, self.means, self.squares, strict=True):
                if value.grad is not None:
                    mean.lerp_(value.grad, 1 - MEAN)
                    square.mul_(SQUARE).addcmul_(value.grad, value.grad, value=1 - SQUARE)
                    pace = share * rate / (1 - MEAN**self.steps)
                    value.addcdiv_(mean, (square.sqrt() / root).add_(LEAST), value=-pace)
