"""The recurrence of a matrix, chunk by chunk, against the recurrence itself and closed forms."""

import math
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from seq2seq.models.delta import CHUNK, matrix_scan

B, H, K, V = 2, 2, 4, 3


def loop(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    gates: Tensor | None,
    strengths: Tensor | None,
    delta: bool,
    S: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Write by write, read after every n-th."""
    ratio = len(keys) // len(queries)
    S = keys.new_zeros(*keys.shape[1:], values.shape[-1]) if S is None else S
    read = []
    for i, (k, v) in enumerate(zip(keys, values, strict=True)):
        if gates is not None:
            g = gates[i] if gates.ndim == 4 else gates[i][..., None]
            S = g[..., None] * S
        if delta:
            v = v - torch.einsum("bhkv,bhk->bhv", S, k)
        if strengths is not None:
            v = strengths[i][..., None] * v
        S = S + k[..., None] * v[..., None, :]
        if i % ratio == ratio - 1:
            read.append(torch.einsum("bhkv,bhk->bhv", S, queries[i // ratio]))
    return torch.stack(read), S


def draw(T: int, ratio: int, gates: str) -> list[Tensor | None]:
    """Unit keys, the later half of them one key; strengths up to 2; gates in [-1, 1], one 0."""
    n = ratio * T
    keys = F.normalize(torch.randn(n, B, H, K, dtype=torch.float64), dim=-1)
    keys[n // 2 :] = keys[n // 2].clone()
    shape = {"none": None, "fixed": (n, 1, H), "head": (n, B, H), "channel": (n, B, H, K)}[gates]
    factors = None
    if shape is not None:
        factors = 2 * torch.rand(shape, dtype=torch.float64) - 1
        factors[n // 3] = 0
    return [
        torch.randn(T, B, H, K, dtype=torch.float64),
        keys,
        torch.randn(n, B, H, V, dtype=torch.float64),
        factors,
        2 * torch.rand(n, B, H, dtype=torch.float64),
        torch.randn(B, H, K, V, dtype=torch.float64),
    ]


@pytest.mark.parametrize("gates", ["none", "fixed", "head", "channel"])
@pytest.mark.parametrize("delta", [False, True])
@pytest.mark.parametrize(("T", "ratio"), [(1, 1), (CHUNK, 1), (257, 1), (CHUNK + 1, 3)])
def test_recurrence_and_gradients(T: int, ratio: int, delta: bool, gates: str) -> None:
    leaves = [z if z is None else z.requires_grad_() for z in draw(T, ratio, gates)]
    given = [z for z in leaves if z is not None]
    found = []
    for scan in (matrix_scan, loop):
        outputs, S = scan(*leaves[:5], delta, leaves[5])
        slopes = torch.autograd.grad(outputs.sin().sum() + S.cos().sum(), given)
        found.append((outputs, S, *slopes))
    torch.testing.assert_close(*found, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("delta", [False, True])
def test_defaults_are_ones_and_zeros(delta: bool) -> None:
    q, k, v, *_ = draw(CHUNK + 2, 1, "none")
    ours, theirs = matrix_scan(q, k, v, delta=delta), loop(q, k, v, None, None, delta, None)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize("delta", [False, True])
def test_second_derivatives(delta: bool) -> None:
    parts = [z[:, :1, :1].clone().requires_grad_() for z in draw(3, 1, "head")[:5]]
    assert torch.autograd.gradgradcheck(lambda *z: matrix_scan(*z, delta)[0], parts)


@pytest.mark.parametrize("gates", ["fixed", "channel"])
def test_members(gates: str) -> None:
    """vmap of the gradient equals one member at a time; the keys are shared."""
    draws = [draw(CHUNK + 3, 1, gates)[:5] for _ in range(3)]
    shared = draws[0][1]
    stacked = [torch.stack(parts) for parts in zip(*draws, strict=True)]

    def value(*parts: Tensor) -> Tensor:
        return matrix_scan(*parts, delta=True)[0].sin().sum()

    slope = torch.func.grad(value, argnums=(0, 1, 2, 3, 4))
    stacked[1] = shared
    together = torch.func.vmap(slope, (0, None, 0, 0, 0))(*stacked)
    for m, own in enumerate(draws):
        own[1] = shared
        torch.testing.assert_close(tuple(z[m] for z in together), slope(*own))


def test_a_carried_state_continues_within_a_chunk() -> None:
    q, k, v, g, b, _ = draw(3 * CHUNK, 1, "head")
    whole, last = matrix_scan(q, k, v, g, b, True)
    S, parts = None, []
    for start, end in pairwise((0, 5, CHUNK, 2 * CHUNK + 1, 3 * CHUNK)):
        part, S = matrix_scan(*(z[start:end] for z in (q, k, v, g, b)), True, S)
        parts.append(part)
    torch.testing.assert_close((torch.cat(parts), S), (whole, last), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("strength", "repeated"), [(1.0, False), (1.98, True)])
def test_the_delta_rule_keeps_its_digits(strength: float, repeated: bool) -> None:
    """In float32 over 4,096 times: the error is of the size of the recurrence's own."""
    T = 4096
    draws = torch.Generator().manual_seed(0)
    q, k, v = torch.randn(3, T, 1, 1, 16, dtype=torch.float64, generator=draws)
    k = F.normalize(k[:1].expand(T, -1, -1, -1) if repeated else k, dim=-1)
    beta = torch.full((T, 1, 1), strength, dtype=torch.float64)
    exact, _ = matrix_scan(q, k, v, None, beta, True)
    single = [z.float() for z in (q, k, v)]
    ours, theirs = (
        (f(*single, None, beta.float(), True, None)[0] - exact).abs().max() / exact.abs().max()
        for f in (matrix_scan, loop)
    )
    assert ours < max(4 * theirs, 2e-6)


def test_delta_with_orthonormal_keys_is_a_dictionary() -> None:
    """β = 1 writes and overwrites; what was never written reads 0."""
    draws = torch.Generator().manual_seed(0)
    basis = torch.linalg.qr(torch.randn(8, 8, dtype=torch.float64, generator=draws))[0]
    written = torch.randint(6, (100,), generator=draws)
    values = torch.randn(100, 1, 1, 5, dtype=torch.float64, generator=draws)
    memory = dict(zip(written.tolist(), values[:, 0, 0], strict=True))
    keys = basis[written][:, None, None]
    _, S = matrix_scan(keys, keys, values, delta=True)
    nothing = torch.zeros(5, dtype=torch.float64)
    for number, key in enumerate(basis):
        expected = memory.get(number, nothing)
        torch.testing.assert_close(key @ S[0, 0], expected, rtol=0, atol=1e-12)


def test_a_strength_of_two_reflects() -> None:
    """(I − 2kkᵀ)S, so that one key counts modulo 2, without a limit of length."""
    bits = torch.randint(2, (300,), generator=torch.Generator().manual_seed(0))
    beta = 2.0 * bits.double()[:, None, None]
    key = torch.ones(300, 1, 1, 1, dtype=torch.float64)
    start = torch.ones(1, 1, 1, 1, dtype=torch.float64)
    read, _ = matrix_scan(key, key, torch.zeros_like(key), None, beta, True, start)
    assert torch.equal(read.flatten(), 1.0 - 2 * (bits.cumsum(0) % 2))


def test_two_reflections_a_token_rotate() -> None:
    """By twice the angle between their keys, and without fading."""
    T, half = 1000, torch.tensor(math.pi / 5, dtype=torch.float64)
    first = torch.tensor([1.0, 0.0], dtype=torch.float64)
    keys = torch.stack([first, torch.stack([half.cos(), half.sin()])]).repeat(T, 1)[:, None, None]
    start = torch.eye(2, dtype=torch.float64)[None, None]
    beta = torch.full((2 * T, 1, 1), 2.0, dtype=torch.float64)
    zeros = torch.zeros(2 * T, 1, 1, 2, dtype=torch.float64)
    _, S = matrix_scan(zeros[:T], keys, zeros, None, beta, True, start)
    turn = 2 * T * half
    expected = torch.stack([turn.cos(), -turn.sin(), turn.sin(), turn.cos()]).view(2, 2)
    torch.testing.assert_close(S[0, 0], expected, rtol=0, atol=1e-10)
