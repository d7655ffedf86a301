"""Adam, AdamW and SGD for many members at once, each with its own rate, decay and momentum."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import SGD, Adam, Optimizer

#: Arguments that change the rule itself, and so have no form for many members here.
UNUSUAL = ("amsgrad", "maximize", "differentiable", "capturable", "dampening")


def is_elementwise(optimizer: Optimizer) -> bool:
    """Whether `Stacked` knows the rule of `optimizer`."""
    group = optimizer.param_groups[0]
    usual = not any(group.get(name) for name in UNUSUAL)
    return usual and len(optimizer.param_groups) == 1 and isinstance(optimizer, (Adam, SGD))


class Stacked:
    """The optimizers of M members, whose parameters and gradients are rows of (M, N) tensors.

    All members have taken the same number of steps by the same rule; `lr`, `weight_decay` and
    `momentum` are each member's own and are read from its optimizer's `param_groups`. Optimizers of
    other rules step one after another on their rows.

    Args:
        optimizers: one per member; their parameters are views of `values`.
        values: parameters, (M, N).
        slopes: gradients, (M, N), of the same layout.
        spans: where in a row each parameter lies, in the order of the optimizer's.
        steps: how many have been taken; the state of each optimizer is read if there are any.
    """

    def __init__(
        self,
        optimizers: Sequence[Optimizer],
        values: Tensor,
        slopes: Tensor,
        spans: Sequence[slice],
        steps: int,
    ) -> None:
        self.optimizers = optimizers
        self.values, self.slopes, self.spans = values, slopes, spans
        self.steps = steps
        self.is_elementwise = all(is_elementwise(optimizer) for optimizer in optimizers)
        self.is_adam = isinstance(optimizers[0], Adam)
        self.moments: dict[str, Tensor] = {}
        self.scratch = torch.empty_like(values)
        if self.is_elementwise:
            names = ("exp_avg", "exp_avg_sq") if self.is_adam else ("momentum_buffer",)
            self.moments = {name: torch.zeros_like(values) for name in names}
            for row, optimizer in enumerate(optimizers):
                own = [optimizer.state.get(p, {}) for p in optimizer.param_groups[0]["params"]]
                for span, state in zip(spans, own, strict=True):
                    for name in self.moments.keys() & state:
                        if state[name] is not None:
                            self.moments[name][row, span] = state[name].flatten().to(values)
        self.read_rates()

    def read_rates(self) -> None:
        """Take over what schedulers have changed in the `param_groups`."""
        self._group: dict[str, Any] = self.optimizers[0].param_groups[0]
        self._lr = self._column("lr")
        self._decay = self._column("weight_decay")
        self._momentum = self._column("momentum")

    def _column(self, name: str) -> Tensor:
        own = [float(o.param_groups[0].get(name) or 0.0) for o in self.optimizers]
        return self.values.new_tensor(own)[:, None]

    def step(self) -> None:
        """One step of every member."""
        self.steps += 1
        if not self.is_elementwise:
            for optimizer in self.optimizers:
                optimizer.step()
        elif self.is_adam:
            self._adam()
        else:
            self._sgd()

    def _adam(self) -> None:
        """Kingma and Ba 2015, algorithm 1; Loshchilov and Hutter 2019 where decay is decoupled."""
        first, second = self.moments["exp_avg"], self.moments["exp_avg_sq"]
        beta1, beta2 = self._group["betas"]
        if self._decay.any():
            if self._group["decoupled_weight_decay"]:
                self.values.mul_(1 - self._lr * self._decay)
            else:
                self.slopes.addcmul_(self._decay, self.values)
        first.lerp_(self.slopes, 1 - beta1)
        second.mul_(beta2).addcmul_(self.slopes, self.slopes, value=1 - beta2)
        torch.sqrt(second, out=self.scratch).div_(math.sqrt(1 - beta2**self.steps))
        torch.div(first, self.scratch.add_(self._group["eps"]), out=self.scratch)
        self.values.addcmul_(self._lr, self.scratch, value=-1 / (1 - beta1**self.steps))

    def _sgd(self) -> None:
        """g ← ∇ + decay·θ, v ← momentum·v + g, θ ← θ − lr·v (nesterov: g + momentum·v)."""
        velocity, slopes = self.moments["momentum_buffer"], self.slopes
        if self._decay.any():
            slopes.addcmul_(self._decay, self.values)
        velocity.mul_(self._momentum).add_(slopes)
        if self._group["nesterov"]:
            slopes.addcmul_(self._momentum, velocity)
            self.values.addcmul_(self._lr, slopes, value=-1)
        else:
            self.values.addcmul_(self._lr, velocity, value=-1)

    def export(self, row: int) -> None:
        """Give one member's optimizer the state it would have had alone, for its checkpoint."""
        if not self.is_elementwise or self.steps == 0:
            return
        optimizer = self.optimizers[row]
        group = optimizer.param_groups[0]
        for parameter, span in zip(group["params"], self.spans, strict=True):
            state: dict[str, Any] = {}
            if self.is_adam:
                state["step"] = torch.tensor(float(self.steps))
                if group.get("fused"):
                    state["step"] = state["step"].to(parameter.device)
            for name, moment in self.moments.items():
                if self.is_adam or group["momentum"]:
                    state[name] = moment[row, span].view(parameter.shape).clone()
            optimizer.state[parameter] = state
