"""A decoder-only Transformer with full or sliding-window causal attention."""

import math
from collections.abc import Callable, Iterator
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from seq2seq import checks
from seq2seq.models.batching import for_vmap
from seq2seq.models.graph import Row
from seq2seq.models.model import SequenceModel, State

LONGEST = 256  # sequences whose attention is worked out by plain products
POSITIONAL = ("sinusoidal", "learned", "rotary", "alibi", "none")


def angles(positions: Tensor, size: int) -> Tensor:
    """θ[t, j] = t·10000^{−2j/size} for j < ⌈size/2⌉: (time,) -> (time, ⌈size/2⌉), in float64.

    Vaswani et al. 2017, sec. 3.5. In float32 the angles of late positions would lose the digits
    that tell neighbours apart.
    """
    exponents = torch.arange(0, size, 2, device=positions.device, dtype=torch.float64) / size
    return positions.double()[:, None] * 10000.0**-exponents


def rotate(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Turn each pair (x_j, x_{j+D/2}) of the last axis by its angle: (…, time, D) -> the same.

    Su et al. 2021, eq. 34, with the pairs laid out in halves.
    """
    first, second = x.chunk(2, -1)
    return torch.cat([first * cosine - second * sine, second * cosine + first * sine], -1)


class StackedAttention(torch.autograd.Function):
    """Attention of M members: queries, keys, values (M, B, T, 3, H, D) -> (M, B, T, H, D).

    `hidden` (M, T, T) is 0 where a query sees a key, else −∞. Member by member, so that the weights
    stay in the cache: torch's fused kernel takes longer than plain products for short sequences
    and heads as narrow as here.
    """

    @staticmethod
    def forward(ctx: Any, joint: Tensor, hidden: Tensor) -> Tensor:
        M, B, T, _, H, D = joint.shape
        parts = joint.permute(0, 3, 1, 4, 2, 5).reshape(M, 3, B * H, T, D)
        parts[:, 0] /= math.sqrt(D)
        weights = joint.new_empty(M, B * H, T, T)
        z = joint.new_empty(M, B, T, H, D)
        for (q, k, v), far, own, out in zip(parts, hidden, weights, z, strict=True):
            torch.softmax(torch.baddbmm(far, q, k.mT), -1, out=own)
            out.copy_(torch.bmm(own, v).view(B, H, T, D).transpose(1, 2))
        if ctx.needs_input_grad[0]:
            ctx.save_for_backward(parts, weights)
        return z

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dz: Tensor) -> Any:
        parts, weights = ctx.saved_tensors
        M, B, T, H, D = dz.shape
        djoint = dz.new_empty(M, B, T, 3, H, D)
        slopes = parts.new_empty(parts.shape[1:])
        for (q, k, v), own, slope, out in zip(parts, weights, dz, djoint, strict=True):
            slope = slope.transpose(1, 2).reshape(B * H, T, D)
            dq, dk, dv = slopes
            torch.bmm(own.mT, slope, out=dv)
            scores = torch._softmax_backward_data(torch.bmm(slope, v.mT), own, -1, own.dtype)
            torch.bmm(scores, k, out=dq).div_(math.sqrt(D))
            torch.bmm(scores.mT, q, out=dk)
            out.copy_(slopes.view(3, B, H, T, D).permute(1, 3, 0, 2, 4))
        return djoint, None


attend = for_vmap(StackedAttention.apply)


class Block(nn.Module):
    """x + Attention(LN x), then x + MLP(LN x), the MLP being four times as wide, with GELU."""

    def __init__(self, hidden_size: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.attention_norm = nn.LayerNorm(hidden_size)
        self.query_key_value = nn.Linear(hidden_size, 3 * hidden_size)
        self.mixing = nn.Linear(hidden_size, hidden_size)
        self.mlp_norm = nn.LayerNorm(hidden_size)
        self.mlp = nn.Sequential(
            nn.Linear(hidden_size, 4 * hidden_size),
            nn.GELU(),
            nn.Linear(4 * hidden_size, hidden_size),
        )
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        x: Tensor,
        rotation: tuple[Tensor, Tensor] | None,
        mask: Tensor | None,
        past: tuple[Tensor, Tensor] | None = None,
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """(batch, time, hidden) -> the same, and all keys and values (batch, heads, time, D).

        With `past` keys and values, x is one time that sees all of them; without, `mask`
        (None: the causal one) says who sees whom. A mask of numbers is added to the scores.
        """
        B, T, C = x.shape
        q, k, v = self._project(x, rotation)
        if past is not None:
            k, v = torch.cat([past[0], k], 2), torch.cat([past[1], v], 2)
        causal = mask is None and past is None
        z = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal)
        x = x + self.dropout(self.mixing(z.transpose(1, 2).reshape(B, T, C)))
        return x + self.dropout(self.mlp(self.mlp_norm(x))), (k, v)

    def batched_forward(self) -> Callable[..., Any]:
        """Short sequences by `StackedAttention`, straight from and to the products around it."""

        def forward(
            x: Tensor, rotation: tuple[Tensor, Tensor] | None, mask: Tensor | None
        ) -> tuple[Tensor, None]:
            B, T, C = x.shape
            biased = mask is not None and mask.is_floating_point()
            if rotation is not None or biased or T > LONGEST:
                return Block.forward(self, x, rotation, mask)[0], None
            joint = self.query_key_value(self.attention_norm(x))
            seen = x.new_ones(T, T, dtype=torch.bool).tril() if mask is None else mask
            hidden = x.new_zeros(T, T).masked_fill(~seen, -math.inf)
            joint = joint.view(B, T, 3, self.num_heads, C // self.num_heads)
            x = x + self.mixing(attend(joint, hidden).view(B, T, C))
            return x + self.mlp(self.mlp_norm(x)), None

        return forward

    def weights(self, x: Tensor, rotation: tuple[Tensor, Tensor] | None, mask: Tensor) -> Tensor:
        """softmax(q kᵀ/√D) over the keys that `mask` lets see: (batch, heads, queries, keys)."""
        q, k, _ = self._project(x, rotation)
        scores = (q / math.sqrt(q.shape[-1])) @ k.mT
        if mask.is_floating_point():
            return (scores + mask).softmax(-1)
        return scores.masked_fill(~mask, -math.inf).softmax(-1)

    def _project(
        self, x: Tensor, rotation: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, (batch, heads, time, D) each."""
        B, T, C = x.shape
        joint = self.query_key_value(self.attention_norm(x))
        joint = joint.view(B, T, 3, self.num_heads, C // self.num_heads).permute(2, 0, 3, 1, 4)
        q, k = joint[:2] if rotation is None else rotate(joint[:2], *rotation)
        return q, k, joint[2]


class Transformer(SequenceModel):
    """Linear embedding, pre-norm attention blocks, layer norm and a linear readout.

    Vaswani et al. 2017, decoder-only, with the norm before each branch (Xiong et al. 2020).
    `positional` says how a position is told apart: `sinusoidal` adds fixed waves to the embedding,
    for any length (Vaswani et al. 2017, sec. 3.5); `learned` adds a trained vector for each of
    `max_length` positions; `rotary` turns queries and keys, so that attention depends on
    differences of positions alone (Su et al. 2021); `alibi` lowers the scores of head h = 1 to H by
    2^{−8h/H} per step into the past (Press, Smith and Lewis 2022); `none` leaves it to the causal
    mask.
    `window` lets a position attend to that many latest positions, itself included (Beltagy,
    Peters and Cohan 2020, sec. 3.1), so that the step form has bounded memory; None: to all.
    `dropout` acts on the embedding and on each branch.

    Args:
        hidden_size: channels of each block.
        num_layers: blocks.
        num_heads: heads of attention; they share the channels.
        positional: how positions are told apart; none: by the causal mask alone.
        max_length: positions that a learned encoding knows.
        window: latest positions that one attends to; None for all.
        dropout: share of a branch's outputs that training leaves out.

    Raises ValueError when num_heads does not divide hidden_size (for `rotary`, into even parts),
    for an unknown encoding, for sizes or dropout out of range, and on calling a `learned` model
    beyond max_length.
    """

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        hidden_size: int = 32,
        num_layers: int = 2,
        num_heads: int = 4,
        positional: Literal["sinusoidal", "learned", "rotary", "alibi", "none"] = "sinusoidal",
        max_length: int = 1024,
        window: int | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self._size(input_dim, output_dim, hidden_size, num_layers)
        checks.integer("model.num_heads", num_heads)
        checks.one_of("model.positional", positional, POSITIONAL)
        checks.integer("model.max_length", max_length)
        if window is not None:
            checks.integer("model.window", window)
        checks.within("model.dropout", dropout, "[0, 1)", 0.0)
        near = num_heads * -(-hidden_size // num_heads)
        remedy = f"model.num_heads=1 or model.hidden_size={near}"
        checks.divides("model.num_heads", num_heads, "model.hidden_size", hidden_size, remedy)
        if positional == "rotary" and hidden_size // num_heads % 2:
            raise ValueError(
                f"model.positional=rotary needs an even model.hidden_size / model.num_heads, got "
                f"{hidden_size} / {num_heads}; set model.hidden_size={2 * hidden_size}"
            )
        self.num_heads, self.positional = num_heads, positional
        self.max_length, self.window = max_length, window
        self.embedding = nn.Linear(input_dim, hidden_size)
        if positional == "learned":
            self.positions = nn.Parameter(0.02 * torch.randn(max_length, hidden_size))
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.ModuleList(
            Block(hidden_size, num_heads, dropout) for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(hidden_size)
        self.readout = nn.Linear(hidden_size, output_dim)

    def forward(self, x: Tensor) -> Tensor:
        T = x.shape[1]
        t = torch.arange(T, device=x.device)
        windowed = self.window is not None and self.window < T
        mask = self._mask(t, x.dtype) if windowed or self.positional == "alibi" else None
        x, rotation = self._embed(x, t, T)
        for layer in self.layers:
            x, _ = layer(x, rotation, mask)
        return self.readout(self.norm(x))

    def visible(self, t: Tensor) -> Tensor:
        """Whether the query at time t sees the key at time s: (time,) -> (queries, keys)."""
        age = t[:, None] - t
        seen = age >= 0
        return seen if self.window is None else seen & (age < self.window)

    def _mask(self, t: Tensor, dtype: torch.dtype) -> Tensor:
        """What is visible, or with `alibi` what is added to the scores: (heads, queries, keys)."""
        visible = self.visible(t)
        if self.positional != "alibi":
            return visible
        return self._lowered(t - t[:, None], dtype).masked_fill(~visible, -math.inf)

    def _lowered(self, later: Tensor, dtype: torch.dtype) -> Tensor:
        """Scores for keys so many steps later than the query: (queries, keys) -> (heads, …)."""
        heads = torch.arange(1, self.num_heads + 1, dtype=torch.float64, device=later.device)
        slopes = 2.0 ** (-8 * heads / self.num_heads)
        return (slopes[:, None, None] * later).to(dtype)

    def attention(self, x: Tensor) -> list[Tensor]:
        """Each layer's attention weights on x (batch, time, input_dim): (batch, heads, time, time).

        Rows are queries, columns keys. Written out, unlike the fused kernel of `forward`, which
        never holds them.
        """
        T = x.shape[1]
        t = torch.arange(T, device=x.device)
        mask = self._mask(t, x.dtype)
        x, rotation = self._embed(x, t, T)
        found = []
        for layer in self.layers:
            assert isinstance(layer, Block)
            found.append(layer.weights(x, rotation, mask))
            x, _ = layer(x, rotation, mask)
        return found

    def step(self, x_t: Tensor, state: State) -> tuple[Tensor, State]:
        t, caches = state
        # Reading the counter makes a GPU wait, so only learned positions, which can run out, do.
        length = int(t) + 1 if self.positional == "learned" else 1
        x, rotation = self._embed(x_t[:, None], t[None], length)
        mask = None
        if self.positional == "alibi":
            ages = torch.arange(caches[0][0].shape[2], -1, -1, device=x_t.device)
            mask = self._lowered(-ages[None], x_t.dtype)
        kept = []
        for layer, past in zip(self.layers, caches, strict=True):
            x, (k, v) = layer(x, rotation, mask, past)
            if self.window is not None:  # the next query adds its own key
                start = max(0, k.shape[2] - self.window + 1)
                k, v = k[:, :, start:], v[:, :, start:]
            kept.append((k, v))
        return self.readout(self.norm(x))[:, 0], (t + 1, tuple(kept))

    def _embed(
        self, x: Tensor, t: Tensor, length: int
    ) -> tuple[Tensor, tuple[Tensor, Tensor] | None]:
        """Embed x, observed at the times t < length; the cosine and sine that turn its queries."""
        x = self.embedding(x)
        rotation = None
        if self.positional == "rotary":
            theta = angles(t, self.hidden_size // self.num_heads)
            rotation = theta.cos().to(x.dtype), theta.sin().to(x.dtype)
        elif self.positional == "sinusoidal":
            theta = angles(t, self.hidden_size)
            waves = torch.stack([theta.sin(), theta.cos()], -1).flatten(1)
            x = x + waves[:, : self.hidden_size].to(x.dtype)
        elif self.positional == "learned":
            if length > self.max_length:
                raise ValueError(
                    f"sequences must not exceed model.max_length for model.positional=learned, got "
                    f"length={length}, max_length={self.max_length}; raise model.max_length or set "
                    f"model.positional=rotary"
                )
            x = x + self.positions[t]
        return self.dropout(x), rotation

    def initial_state(self, batch_size: int, device: torch.device, dtype: torch.dtype) -> State:
        """The number of inputs seen, and per layer the keys and values (batch, heads, time, D)."""
        head = self.hidden_size // self.num_heads
        empty = torch.zeros(batch_size, self.num_heads, 0, head, device=device, dtype=dtype)
        t = torch.zeros((), dtype=torch.long, device=device)
        return t, tuple((empty, empty) for _ in range(self.num_layers))

    @property
    def receptive_field(self) -> int | None:
        return None if self.window is None else 1 + self.num_layers * (self.window - 1)

    @property
    def state_size(self) -> int | None:
        """The keys and values of window − 1 past positions, once so many have been seen."""
        if self.window is None:
            return None
        return 2 * self.num_layers * self.hidden_size * (self.window - 1)

    def rows(self, length: int) -> Iterator[Row]:
        """One row per layer, which attends to what is visible."""
        detail = f"{self.num_heads} head" + "s" * (self.num_heads > 1)
        if self.window is not None:
            detail += f", window {self.window}"
        visible = self.visible(torch.arange(length)).numpy()
        for index in range(1, self.num_layers + 1):
            yield Row(f"layer {index}: attention", detail, visible, skip=1)
