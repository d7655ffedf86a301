"""One model for many: the parameters of all members stacked, one call for all of them.

`torch.func.vmap` turns a plain module into its batched form. Where it has no rule, or a slow one,
the module says how (see `seq2seq.models.batching`), and for attention the rule is here.
"""

import copy
from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from seq2seq.models.batching import for_vmap


def batchable(model: nn.Module) -> nn.Module:
    """A copy of `model` whose modules run under `torch.func.vmap` at the speed of the hardware."""
    template = copy.deepcopy(model)
    for module in template.modules():
        if hasattr(type(module), "batched_forward"):
            module.forward = module.batched_forward()  # type: ignore[method-assign, operator]
    return template


def _attention(q: Tensor, k: Tensor, v: Tensor, options: dict[str, Any]) -> Tensor:
    """Scaled dot-product attention, members and sequences being one batch for it."""
    together = (part.flatten(0, 1) for part in (q, k, v))
    z: Tensor = F.scaled_dot_product_attention(*together, **options)  # type: ignore[arg-type]
    return z.unflatten(0, q.shape[:2])


class AttentionRule(TorchFunctionMode):
    """Route attention to the rule above: torch's kernel for CPUs has no batching rule.

    Attributes:
        used: whether there has been any.
    """

    used = False

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention:
            self.used = True
            return attention(*args, kwargs)
        return func(*args, **kwargs)


attention = for_vmap(_attention)
