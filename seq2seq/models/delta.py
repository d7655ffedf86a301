"""Recurrences of a matrix, S_t = (I − β_t k_t k_tᵀ) G_t S_{t−1} + β_t k_t v_tᵀ, in chunks."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import FunctionCtx

from seq2seq.models.scan import gated_scan

CHUNK = 32  # writes worked through at once; fastest of 16, 32, 64 up to 1,024 of them
CHUNK_BY_ROW = 8  # where every row of the matrix has its gate, so that pairs share K numbers


def matrix_scan(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    gates: Tensor | None = None,
    strengths: Tensor | None = None,
    delta: bool = False,
    state: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """What the queries read, o_t = S_tᵀ q_t (time, batch, heads, V), and the last S.

    Without `delta`, S_t = G_t S_{t−1} + β_t k_t v_tᵀ: linear attention. With it, what the decayed
    state says of k_t is taken out first, S_t = (I − β_t k_t k_tᵀ) G_t S_{t−1} + β_t k_t v_tᵀ: the
    delta rule, in the form of Yang et al. 2024 (Gated DeltaNet, sec. 3). There may be n times as
    many keys as queries; each query then follows n writes (DeltaProduct, Siems et al. 2025).

    Within a chunk the writes w_i, for which S_t = (G_t⋯G_1) S_0 + Σ_i (G_t⋯G_{i+1}) k_i w_iᵀ,
    solve a triangular system (Yang et al. 2024, DeltaNet, sec. 3.2); between chunks S is carried.
    Products of gates are multiplied out: they may be negative or zero.

    Args:
        queries, keys: (time, batch, heads, K) and (n·time, batch, heads, K).
        values: (n·time, batch, heads, V).
        gates: G_t, a number per head, (n·time, batch, heads), or also per row of S, (…, K); 1 if
            None. Its batch may be 1.
        strengths: β_t, (n·time, batch, heads); 1 if None.
        delta: replace instead of add.
        state: S before, (batch, heads, K, V); 0 if None.
    """
    T, ratio = len(queries), len(keys) // len(queries)
    K = queries.shape[-1]
    gates = queries.new_ones(len(keys), 1, 1, 1) if gates is None else gates
    if gates.ndim == 3:
        gates = gates[..., None]
    if T == 1:
        return _one_time(queries[0], keys, values, gates, strengths, delta, state)
    by_row = gates.shape[-1] > 1
    if by_row and not delta:
        values = values if strengths is None else strengths[..., None] * values
        states = gated_scan(gates[..., None], keys[..., None] * values[..., None, :], state)
        read = queries[..., None, :] @ states[ratio - 1 :: ratio]
        return read.squeeze(-2), states[-1]
    size = min(T, max(1, (CHUNK_BY_ROW if by_row else CHUNK) // ratio))
    q = _chunks(queries, size)
    k, v = (_chunks(z, ratio * size) for z in (keys, values))
    decays: Tensor = _Products.apply(_chunks(gates, ratio * size, 1).mT)  # …, K or 1, i, j
    from_start, within = decays.split([1, ratio * size], -1)
    since, until = from_start[..., 1:, 0].mT, within[..., -1, :].mT  # start and end of the chunk
    whole = from_start[..., -1, :]
    late = k * until
    to_writes = within[..., 1:, :]
    if strengths is not None:
        beta = _chunks(strengths[..., None], ratio * size)
        v = beta * v
    if delta:
        k_beta = k if strengths is None else beta * k
        sides = torch.cat([v, k_beta * since], -1)
        system = _pairs(k_beta, k, to_writes)
        solved = torch.linalg.solve_triangular(system, sides, upper=False, unitriangular=True)
        v, erased = solved.split([v.shape[-1], K], -1)
        unit = torch.eye(K, dtype=k.dtype, device=k.device)
        transitions = whole * unit - multiply(late.mT, erased)
        states = _carry(transitions, multiply(late.mT, v), state)
    else:
        states = gated_scan(whole, multiply(late.mT, v), state)
    start = torch.zeros_like(states[0]) if state is None else state
    before = torch.cat([start[None], states[:-1]])
    to_reads = to_writes if ratio == 1 else within[..., ratio::ratio, :]
    weights = _pairs(q, k, to_reads)
    reading = q * (since if ratio == 1 else since[..., ratio - 1 :: ratio, :])
    if delta:
        reading = reading - multiply(weights, erased)
    outputs = multiply(weights, v) + multiply(reading, before)
    return outputs.movedim(-2, 1).flatten(0, 1)[:T], states[-1]


def _one_time(
    query: Tensor,
    keys: Tensor,
    values: Tensor,
    gates: Tensor,
    strengths: Tensor | None,
    delta: bool,
    state: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """One query after its writes, by the recurrence itself."""
    S = keys.new_zeros(*keys.shape[1:], values.shape[-1]) if state is None else state
    for index, (gate, k, v) in enumerate(zip(gates, keys, values, strict=True)):
        S = gate[..., None] * S
        if delta:
            v = v - (k[..., None, :] @ S).squeeze(-2)
        if strengths is not None:
            v = strengths[index][..., None] * v
        S = S + k[..., None] * v[..., None, :]
    return (query[..., None, :] @ S).squeeze(-2)[None], S


def _chunks(x: Tensor, size: int, filling: float = 0.0) -> Tensor:
    """(time, batch, heads, D) -> (chunks, batch, heads, size, D), the last one filled up."""
    missing = -len(x) % size
    if missing:
        x = F.pad(x, (0, 0) * (x.ndim - 1) + (0, missing), value=filling)
    return x.unflatten(0, (-1, size)).movedim(1, -2).contiguous()


def _pairs(x: Tensor, y: Tensor, decays: Tensor) -> Tensor:
    """Σ_c x_ic y_jc D_cij, where D may be the same for all c."""
    if decays.shape[-3] == 1:
        return multiply(x, y.mT) * decays.squeeze(-3)
    return (x.mT[..., None] * decays * y.mT[..., None, :]).sum(-3)


def _carry(transitions: Tensor, inputs: Tensor, state: Tensor | None) -> Tensor:
    """S_t = A_t S_{t−1} + U_t, with matrices."""
    visited = []
    for a, u in zip(transitions.unbind(0), inputs.unbind(0), strict=True):
        state = u if state is None else a @ state + u
        visited.append(state)
    return torch.stack(visited)


class _Multiply(torch.autograd.Function):
    """a b of many small matrices. MKL takes four times as long where b is laid out transposed."""

    generate_vmap_rule = True

    @staticmethod
    def forward(a: Tensor, b: Tensor) -> Tensor:
        return a @ b.contiguous()

    @staticmethod
    def setup_context(ctx: FunctionCtx, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        a, b = ctx.saved_tensors
        return multiply(gradient, b.mT), multiply(a.mT, gradient)


multiply = _Multiply.apply


class _Products(torch.autograd.Function):
    """D_ij = Π_{j<t≤i} g_t for j ≤ i, else 0: (…, T) -> (…, T + 1, T + 1).

    The derivative by g_t is a sum over i ≥ t > j of D_it D_{t−1,j}, products themselves, where
    torch's own of a cumulative product divides by g_t.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(gates: Tensor) -> Tensor:
        ones = gates.new_ones(gates.shape[-1] + 1, gates.shape[-1] + 1)
        rows = F.pad(gates, (1, 0), value=1.0)[..., None]
        return torch.where(ones.tril(-1) > 0, rows, ones).cumprod(-2) * ones.tril()

    @staticmethod
    def setup_context(ctx: FunctionCtx, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(output)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (products,) = ctx.saved_tensors
        towards = multiply(gradient, products.mT)
        return (products[..., 1:] * towards[..., :-1]).sum(-2)
