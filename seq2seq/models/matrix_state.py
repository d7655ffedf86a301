"""Models whose state is a matrix per head: linear attention, the delta rule, and their gates."""

import math
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seq2seq import checks
from seq2seq.models.delta import matrix_scan
from seq2seq.models.mixer import (
    MixerModel,
    Recurrence,
    ShortConvolution,
    has_negative,
    spread,
    step_bias,
)
from seq2seq.models.model import State
from seq2seq.models.transformer import angles, rotate

GATES = ("none", "fixed", "head", "channel", "exponential")
FEATURE_MAPS = ("identity", "elu", "relu", "unit", "taylor")
NORMALISERS = ("none", "sum", "bounded")
OUTPUT_GATES = ("none", "silu", "sigmoid", "silu_before_norm")
RANK = 16  # of the map to GLA's gates
SMALL = 1e-6  # added to what is divided by
FADING = 16  # the root of the sigmoid that they are


def features(x: Tensor, kind: str) -> Tensor:
    """φ(x) along the last axis, as `MatrixState` says."""
    if kind == "elu":
        return F.elu(x) + 1
    if kind == "relu":
        return F.relu(x)
    if kind == "unit":
        return x * (x.square().sum(-1, keepdim=True) + SMALL).rsqrt()
    if kind == "taylor":
        x = x * x.shape[-1] ** -0.25
        squares = (x[..., None] * x[..., None, :]).flatten(-2) / math.sqrt(2)
        return torch.cat([torch.ones_like(x[..., :1]), x, squares], -1)
    return x


def stabilise(
    gates: Tensor, logarithms: Tensor, before: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Gates f, strengths exp(ĩ) and scale m of an mLSTM whose state is stored as e^{−m} times it.

    f_t e^{m_{t−1} − m_t} and e^{ĩ_t − m_t}, with m_t = max(m_{t−1} + log|f_t|, ĩ_t, 0): Beck et al.
    2024, eq. 15 to 17, never below 0, where the normaliser's bound keeps every number in range. The
    outputs do not depend on m, so it has no gradient, and its rounding does not matter.

    Args:
        gates, logarithms: f and ĩ, (time, batch, heads).
        before: m_{−1}, (batch, heads); 0 if None.
    """
    with torch.no_grad():
        fallen = gates.abs().clamp(min=1e-6).log().cumsum(0)
        m = (logarithms.clamp(min=0) - fallen).cummax(0).values
        start = torch.zeros_like(m[0]) if before is None else before
        m = fallen + torch.maximum(m, start)
        earlier = torch.cat([start[None], m[:-1]])
    return gates * (earlier - m).exp(), (logarithms - m).exp(), m


class MatrixMixer(Recurrence):
    """Heads that write v at k into a matrix and read it at q; see `MatrixState`."""

    def __init__(
        self,
        hidden_size: int,
        sizes: tuple[int, int, int],
        *,
        gate: str,
        delta: bool,
        householders: int,
        negative: bool,
        feature_map: str,
        normaliser: str,
        conv: int,
        norm: bool,
        output_gate: str,
        shared_keys: bool,
        skip: bool,
        rotation: bool,
    ) -> None:
        super().__init__()
        num_heads, key_dim, value_dim = self.sizes = sizes  # of heads, keys and values
        self.gate, self.delta, self.writes, self.negative = gate, delta, householders, negative
        self.feature_map, self.normaliser = feature_map, normaliser
        self.output_gate, self.rotation = output_gate, rotation
        # One symmetric matrix after another, one of them without negative eigenvalues, has real
        # ones; and if neither has negative ones, no negative ones either.
        short = not delta or householders + (gate != "none") <= 2
        self.has_nonnegative_eigenvalues = not negative and not rotation and short
        self.has_real_eigenvalues = self.has_nonnegative_eigenvalues or (
            not rotation and householders == 1
        )
        self.is_diagonal = not delta and not conv
        self.key_heads = 1 if shared_keys else num_heads
        inner = num_heads * value_dim
        self.widths = [self.key_heads * key_dim, self.key_heads * key_dim * householders]
        self.widths.append(inner * householders)
        self.project = nn.Linear(hidden_size, sum(self.widths), bias=False)
        self.convolution = ShortConvolution(sum(self.widths), conv, shared_keys) if conv else None
        if delta:
            self.strength = nn.Linear(hidden_size, num_heads * householders, bias=False)
        if gate == "head":
            self.step = nn.Linear(hidden_size, num_heads, bias=False)
            self.step_bias = nn.Parameter(step_bias(num_heads))
            self.rate = nn.Parameter(torch.empty(num_heads).uniform_(0 if delta else 1, 16).log())
        elif gate == "channel":
            self.fading = nn.Sequential(
                nn.Linear(hidden_size, RANK, bias=False), nn.Linear(RANK, num_heads * key_dim)
            )
        elif gate == "exponential":
            self.forget, self.input = (nn.Linear(hidden_size, num_heads) for _ in range(2))
            nn.init.zeros_(self.forget.weight)
            nn.init.zeros_(self.input.weight)
            nn.init.normal_(self.input.bias, std=0.1)
            with torch.no_grad():
                self.forget.bias.copy_(torch.linspace(3, 6, num_heads))
        self.scale = 1 if skip else key_dim**-0.5
        self.skip = nn.Parameter(torch.ones(num_heads)) if skip else None
        width = inner if output_gate == "silu_before_norm" else value_dim
        self.norm = nn.RMSNorm(width, eps=1e-5) if norm else nn.Identity()
        self.output = None if output_gate == "none" else nn.Linear(hidden_size, inner, bias=False)
        self.mixing = nn.Linear(inner, hidden_size, bias=False)

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        queue, S, *m = state or (None, None)
        q, k, v, queue = self._read(x, queue)
        gates, strengths = self._gates(x)
        bound = None
        if self.gate == "exponential":
            assert gates is not None
            assert strengths is not None
            gates, strengths, scale = stabilise(gates, strengths, *(m or [None]))
            bound, m = scale.neg().exp()[..., None], [scale[-1]]
        written = v if self.normaliser == "none" else F.pad(v, (0, 1), value=1.0)
        if self.rotation:
            q, k = (self._turn(z, torch.arange(1, len(z) + 1, device=x.device)) for z in (q, k))
        o, S = matrix_scan(q, k, written, gates, strengths, self.delta, S)
        if self.rotation:
            S = self._turn(S.mT[None], torch.tensor([-len(x)], device=x.device))[0].mT
        if self.normaliser != "none":
            o, total = o[..., :-1], o[..., -1:]
            if self.normaliser == "bounded":
                bound = torch.ones_like(total) if bound is None else bound
                o = o / torch.maximum(total.abs(), bound)
            else:
                o = o / (total + SMALL)
        if self.skip is not None:
            o = o + self.skip[:, None] * v[self.writes - 1 :: self.writes]
        return self.mixing(self.normed(o, x)), (queue, S, *m)

    def _read(self, x: Tensor, queue: Tensor | None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """q (time, batch, heads, K), and k and v for every write, in order; the next queue."""
        H, K, V = self.sizes
        joint = self.project(x)
        if self.convolution is None:
            queue = joint[:0]
        else:
            joint, queue = self.convolution(joint, queue)
        q, k, v = joint.split(self.widths, -1)
        q = features(q.unflatten(-1, (self.key_heads, K)), self.feature_map) * self.scale
        k = features(k.unflatten(-1, (self.writes, self.key_heads, K)), self.feature_map)
        k = k.movedim(2, 1).flatten(0, 1)
        v = v.unflatten(-1, (self.writes, H, V)).movedim(2, 1).flatten(0, 1)
        q, k = (z.expand(*z.shape[:2], H, z.shape[-1]) for z in (q, k))
        assert queue is not None
        return q, k, v, queue

    def _gates(self, x: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Of every write the gate G and the strength β, for the gate `exponential` its logarithm.

        None where they are 1.
        """
        H, K, _ = self.sizes
        gates = strengths = None
        if self.gate == "fixed":
            gates = (1 - 2.0 ** -(5 + torch.arange(H, device=x.device, dtype=x.dtype))).expand(
                len(x), 1, H
            )
        elif self.gate == "head":
            strengths = F.softplus(self.step(x) + self.step_bias)
            gates = (-self.rate.exp() * strengths).exp()
        elif self.gate == "channel":
            gates = (F.logsigmoid(self.fading(x)) / FADING).exp().unflatten(-1, (H, K))
        elif self.gate == "exponential":
            strengths, gates = self.input(x), self.forget(x).sigmoid()
        if self.delta:
            beta = self.strength(x).sigmoid() * (2 if self.negative else 1)
            strengths = beta.unflatten(-1, (self.writes, H)).movedim(2, 1).flatten(0, 1)
        elif gates is not None:
            gates = spread(gates, self.negative)
        if gates is not None and self.writes > 1:  # only the first write of a token is gated
            others = torch.ones_like(gates)[:, None].expand(-1, self.writes - 1, *gates.shape[1:])
            gates = torch.cat([gates[:, None], others], 1).flatten(0, 1)
        return gates, strengths

    def _turn(self, x: Tensor, t: Tensor) -> Tensor:
        """Rotate (time, batch, heads, K) by the angles of the times t."""
        theta = angles(t, self.sizes[1])[:, None, None]
        return rotate(x, theta.cos().to(x.dtype), theta.sin().to(x.dtype))

    def normed(self, o: Tensor, x: Tensor) -> Tensor:
        """What the heads read, normalised and gated: (time, batch, heads·V)."""
        if self.output is None:
            return self.norm(o).flatten(-2)
        z = self.output(x)
        if self.output_gate == "silu_before_norm":
            return self.norm(o.flatten(-2) * F.silu(z))
        return self.norm(o).flatten(-2) * (F.silu(z) if self.output_gate == "silu" else z.sigmoid())

    def initial_state(self, batch_size: int, device: torch.device, dtype: torch.dtype) -> State:
        """The inputs that the convolution keeps, S, and for the gate `exponential` its scale m."""
        H, K, V = self.sizes
        rows = features(torch.zeros(1, K), self.feature_map).shape[-1]
        S = torch.zeros(
            batch_size, H, rows, V + (self.normaliser != "none"), device=device, dtype=dtype
        )
        queue = torch.zeros(0, batch_size, sum(self.widths), device=device, dtype=dtype)
        if self.convolution is not None:
            queue = self.convolution.initial_state(batch_size, device, dtype)
        m = (S.new_zeros(batch_size, H),) if self.gate == "exponential" else ()
        return queue, S, *m

    def spectrum(self, x: Tensor) -> Tensor:
        """Of each head's K × K transition; without `delta` a number per head stands for all K."""
        gates, strengths = self._gates(x)
        T, B, _ = x.shape
        H, K, _ = self.sizes
        if gates is None:
            gates = x.new_ones(T * self.writes, 1, H)
        if not self.delta:
            found = gates.expand(T, B, *gates.shape[2:]).flatten(2)
            found = found.to(x.dtype.to_complex())
            if self.rotation:
                theta = angles(torch.ones(1, device=x.device), K)[0]
                turn = torch.polar(torch.ones_like(theta), theta).to(found.dtype)
                found = (found[..., None] * torch.cat([turn, turn.conj()])).flatten(2)
            return found
        _, k, _, _ = self._read(x, None)
        assert strengths is not None
        transition = torch.eye(k.shape[-1], dtype=x.dtype, device=x.device)
        unit = transition
        if gates.ndim == 3:
            gates = gates[..., None]
        kept = unit - (strengths[..., None] * k)[..., None] * k[..., None, :]
        for step in (kept * gates[..., None, :]).unflatten(0, (T, -1)).unbind(1):
            transition = step @ transition
        return torch.linalg.eigvals(transition).flatten(2)


class MatrixState(MixerModel):
    """Residual blocks whose layers keep a matrix per head, S (K × V), read as o_t = S_tᵀ q_t:

        S_t = G_t S_{t−1} + β_t k_t v_tᵀ, or with `delta` S_t = (I − β_t k_t k_tᵀ) G_t S_{t−1} + …

    Published models are its presets. linear_attention: Katharopoulos et al. 2020; retnet: Sun et
    al. 2023; mamba2: Dao and Gu 2024; gla: Yang et al. 2024 (Gated linear attention); mlstm: Beck
    et al. 2024; deltanet: Schlag, Irie and Schmidhuber 2021, Yang et al. 2024; gated_deltanet:
    Yang, Kautz and Hatamizadeh 2025; deltaproduct: Siems et al. 2025. They start as there.

    `gate` chooses G: `none` 1; `fixed` 1 − 2^{−5−h} for head h (RetNet); `head` exp(−e^A Δ_t) with
    Δ_t = softplus(w x_t + b), which without `delta` is β_t, too (Mamba-2); `channel`, for each
    row of S, σ(W x_t)^{1/16}, W of rank 16 (GLA); `exponential` σ(w x_t + b), with β_t =
    exp(w' x_t + b') (mLSTM). With `delta` β_t = σ(w x_t); else it is 1. `eigenvalues` of [-1, 1]
    let the transition change signs (Grazzi et al. 2025): β_t = 2σ(w x_t) with `delta`, else 2G − 1
    for G. With `householders` n a token makes n writes of its own k, v and β, the first one gated.

    Args:
        hidden_size: channels of each block.
        num_layers: blocks.
        num_heads: heads of a layer.
        key_dim, value_dim: K and V of a head; hidden_size / num_heads if null.
        gate: how the state fades.
        delta: replace what is stored at a key instead of adding to it.
        householders: writes per token.
        eigenvalues: range of those of the transition, [0, 1] or [-1, 1].
        feature_map: of q and k: identity; elu(x) + 1; relu; unit, x/|x|; taylor, up to the second
            order (Arora et al. 2024, Based).
        normaliser: divide by the sum of the weights; bounded: by its size, at least 1 (mLSTM).
        conv: inputs that a causal convolution of q, k and v reads, followed by SiLU; 0 for none.
        norm: RMS norm of what a head reads.
        output_gate: factor of that, a function of the token; silu_before_norm: then norm all heads.
        shared_keys: q and k that all heads share, and a bias in the convolution (Mamba-2).
        skip: add a multiple of v to what is read (Mamba-2).
        rotation: turn q and k by angles that grow with time (RetNet).
        mlp: width of a network after each layer, in hidden_sizes; 0 for none.
        dropout: share of a branch's outputs that training leaves out.

    Raises ValueError for unknown choices, sizes out of range, and choices that do not go together.
    """

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        hidden_size: int = 32,
        num_layers: int = 2,
        num_heads: int = 2,
        key_dim: int | None = None,
        value_dim: int | None = None,
        gate: Literal["none", "fixed", "head", "channel", "exponential"] = "none",
        delta: bool = False,
        householders: int = 1,
        eigenvalues: Sequence[int] = (0, 1),
        feature_map: Literal["identity", "elu", "relu", "unit", "taylor"] = "identity",
        normaliser: Literal["none", "sum", "bounded"] = "none",
        conv: int = 0,
        norm: bool = True,
        output_gate: Literal["none", "silu", "sigmoid", "silu_before_norm"] = "none",
        shared_keys: bool = False,
        skip: bool = False,
        rotation: bool = False,
        mlp: int = 4,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self._size(input_dim, output_dim, hidden_size, num_layers)
        checks.integer("model.num_heads", num_heads)
        for key, value in (("key_dim", key_dim), ("value_dim", value_dim)):
            if value is not None:
                checks.integer(f"model.{key}", value)
        if None in (key_dim, value_dim):
            fewer = range(min(num_heads, hidden_size), 0, -1)
            heads = next(count for count in fewer if hidden_size % count == 0)
            remedy = f"model.num_heads={heads}, or model.key_dim and model.value_dim"
            checks.divides("model.num_heads", num_heads, "model.hidden_size", hidden_size, remedy)
        checks.one_of("model.gate", gate, GATES)
        checks.integer("model.householders", householders)
        negative = has_negative(eigenvalues)
        checks.one_of("model.feature_map", feature_map, FEATURE_MAPS)
        checks.one_of("model.normaliser", normaliser, NORMALISERS)
        checks.integer("model.conv", conv, 0)
        checks.one_of("model.output_gate", output_gate, OUTPUT_GATES)
        key_dim, value_dim = (
            key_dim or hidden_size // num_heads,
            value_dim or hidden_size // num_heads,
        )
        if negative and not delta and gate in ("none", "fixed"):
            checks.refuse("model.eigenvalues", [-1, 1], f"be [0, 1] for gate={gate}", "[0,1]")
        if delta and gate == "exponential":
            checks.refuse("model.gate", gate, "have strengths below 1 for delta=true", "head")
        if delta and feature_map != "unit":  # longer keys are overshot, further each time
            checks.refuse("model.feature_map", feature_map, "be unit for delta=true", "unit")
        if householders > 1 and not delta:
            checks.refuse("model.householders", householders, "be 1 for delta=false", 1)
        if householders > key_dim:
            rule = f"be at most key_dim, {key_dim}, as so many make any rotation of a key"
            checks.refuse("model.householders", householders, rule, key_dim)
        if gate == "channel" and feature_map == "taylor":
            checks.refuse(
                "model.feature_map", feature_map, "keep its width for gate=channel", "elu"
            )
        if rotation and key_dim % 2:
            checks.refuse("model.key_dim", key_dim, "be even for rotation=true", key_dim + 1)
        if rotation and (householders > 1 or delta or feature_map == "taylor"):
            checks.refuse("model.rotation", rotation, "be false for delta and taylor", "false")
        self._build(
            lambda: MatrixMixer(
                hidden_size,
                (num_heads, key_dim, value_dim),
                gate=gate,
                delta=delta,
                householders=householders,
                negative=negative,
                feature_map=feature_map,
                normaliser=normaliser,
                conv=conv,
                norm=norm,
                output_gate=output_gate,
                shared_keys=shared_keys,
                skip=skip,
                rotation=rotation,
            ),
            mlp,
            dropout,
        )
