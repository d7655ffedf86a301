"""The scan against its recurrence, forwards, backwards and over members."""

import pytest
import torch
from torch import Tensor

from seq2seq.models import scan
from seq2seq.models.scan import RADIX, block_scan, diagonal_scan, gated_scan

DTYPES = [torch.float64, torch.complex128]
WIDTHS = ["narrow", "wide"]


def loop(eigenvalues: Tensor, inputs: Tensor) -> Tensor:
    h = torch.zeros_like(inputs[..., 0, :])
    visited = []
    for u in inputs.unbind(-2):
        h = eigenvalues * h + u
        visited.append(h)
    return torch.stack(visited, -2)


def draw(batch: int, T: int, N: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    eigenvalues = torch.randn(N, dtype=dtype)
    eigenvalues = 0.95 * eigenvalues / eigenvalues.abs()
    return eigenvalues, torch.randn(batch, T, N, dtype=dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("T", [1, 2, RADIX, RADIX + 1, 100, 3 * RADIX, RADIX**2 + 5])
def test_recurrence(T: int, dtype: torch.dtype) -> None:
    eigenvalues, inputs = draw(2, T, 3, dtype)
    expected = loop(eigenvalues, inputs)
    torch.testing.assert_close(diagonal_scan(eigenvalues, inputs), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("T", [1, 5, RADIX + 3, 2 * RADIX**2])
def test_gradients(T: int, dtype: torch.dtype) -> None:
    eigenvalues, inputs = (z.requires_grad_() for z in draw(2, T, 3, dtype))
    weight = torch.randn(2, T, 3, dtype=dtype)
    ours, theirs = (
        torch.autograd.grad(
            (f(eigenvalues, inputs) * weight).abs().square().sum(), [eigenvalues, inputs]
        )
        for f in (diagonal_scan, loop)
    )
    torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("dtype", DTYPES)
def test_second_derivatives(dtype: torch.dtype) -> None:
    eigenvalues, inputs = (z.requires_grad_() for z in draw(1, 4, 2, dtype))
    assert torch.autograd.gradgradcheck(diagonal_scan, (eigenvalues, inputs))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("in_dims", [(0, 0), (None, 2), (0, None)])
def test_members(dtype: torch.dtype, in_dims: tuple[int | None, int | None]) -> None:
    """vmap of the value and of the gradient equals one member at a time."""
    members, T = 3, RADIX + 2
    eigenvalues = torch.stack([draw(2, T, 4, dtype)[0] for _ in range(members)])
    inputs = torch.stack([draw(2, T, 4, dtype)[1] for _ in range(members)], 2)

    def value(a: Tensor, u: Tensor) -> Tensor:
        return diagonal_scan(a, u).abs().square().sum()

    a = eigenvalues if in_dims[0] == 0 else eigenvalues[0]
    u = inputs if in_dims[1] == 2 else inputs[:, :, 0]
    if in_dims[1] == 0:
        u = inputs.movedim(2, 0)
    both = torch.func.grad_and_value(value, argnums=(0, 1))
    gradients, values = torch.func.vmap(both, in_dims)(a, u)
    for m in range(members):
        a_m = a if in_dims[0] is None else a[m]
        u_m = u if in_dims[1] is None else u.select(in_dims[1], m)
        expected_gradients, expected = both(a_m, u_m)
        torch.testing.assert_close(values[m], expected)
        for ours, theirs in zip(gradients, expected_gradients, strict=True):
            torch.testing.assert_close(ours[m], theirs)


def gated_loop(gates: Tensor, inputs: Tensor, before: Tensor | None = None) -> Tensor:
    h = torch.zeros_like(inputs[0]) if before is None else before
    visited = []
    for a, u in zip(gates, inputs, strict=True):
        h = a * h + u
        visited.append(h)
    return torch.stack(visited)


def draw_gates(T: int, dtype: torch.dtype, columns: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    """Gates of all signs and phases, some of them 0, of size 1 and below."""
    gates = torch.randn(T, 2, columns, dtype=dtype)
    gates = gates / gates.abs().clamp(min=1)
    gates[T // 2, 0] = 0
    return gates, torch.randn(T, 2, 3, dtype=dtype), torch.randn(2, 3, dtype=dtype)


@pytest.fixture
def width(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """From time to time, as wide states go, or in pieces, as narrow ones do."""
    if request.param == "wide":
        monkeypatch.setattr(scan, "WIDE", 1)


@pytest.mark.parametrize("width", WIDTHS, indirect=True)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("T", [1, 2, 2 * RADIX + 1, 257, RADIX**2 + 5])
@pytest.mark.parametrize("columns", [1, 3])
def test_gated_recurrence_and_gradients(
    T: int, dtype: torch.dtype, columns: int, width: None
) -> None:
    leaves = [z.requires_grad_() for z in draw_gates(T, dtype, columns)]
    weight = torch.randn(T, 2, 3, dtype=dtype)
    for arguments in (leaves[:2], leaves):
        ours, theirs = gated_scan(*arguments), gated_loop(*arguments)
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
        slopes = [
            torch.autograd.grad((h * weight).abs().square().sum(), arguments)
            for h in (ours, theirs)
        ]
        torch.testing.assert_close(*slopes, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("width", WIDTHS, indirect=True)
@pytest.mark.parametrize("dtype", DTYPES)
def test_gated_derivatives_twice(
    dtype: torch.dtype, width: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan, "RADIX", 2)
    gates, inputs, _ = draw_gates(5, dtype)
    arguments = [z[:, :1, :2].clone().requires_grad_() for z in (gates, inputs)]
    assert torch.autograd.gradcheck(gated_scan, arguments)
    assert torch.autograd.gradgradcheck(gated_scan, arguments)


@pytest.mark.parametrize("in_dims", [(0, 0), (None, 2), (1, None)])
def test_gated_members(in_dims: tuple[int | None, int | None]) -> None:
    T = 2 * RADIX + 3
    draws = [draw_gates(T, torch.float64)[:2] for _ in range(3)]
    stacked = [
        parts[0] if dim is None else torch.stack(parts, dim)
        for parts, dim in zip(zip(*draws, strict=True), in_dims, strict=True)
    ]

    def value(a: Tensor, u: Tensor) -> Tensor:
        return gated_scan(a, u).square().sum()

    both = torch.func.grad_and_value(value, argnums=(0, 1))
    gradients, values = torch.func.vmap(both, in_dims)(*stacked)
    for m in range(3):
        own = [
            z if dim is None else z.select(dim, m) for z, dim in zip(stacked, in_dims, strict=True)
        ]
        expected_gradients, expected = both(*own)
        torch.testing.assert_close(values[m], expected)
        for ours, theirs in zip(gradients, expected_gradients, strict=True):
            torch.testing.assert_close(ours[m], theirs)


@pytest.mark.parametrize("width", WIDTHS, indirect=True)
def test_gated_scan_keeps_its_digits(width: None) -> None:
    """In float32 over 4,096 times, with gates of size 0.999, no worse than the recurrence."""
    gates, inputs, _ = draw_gates(4096, torch.float64)
    gates = 0.999 * gates.sign()
    exact = gated_loop(gates, inputs)
    ours, theirs = (
        (f(gates.float(), inputs.float()) - exact).abs().max() / exact.abs().max()
        for f in (gated_scan, gated_loop)
    )
    assert ours < max(2 * theirs, 1e-6)


def block_loop(matrix: Tensor, inputs: Tensor, before: Tensor | None = None) -> Tensor:
    """Each system by itself, in the usual notation."""
    visited = []
    for u in inputs:
        s = u
        if before is not None:
            s = u + torch.einsum("...ijn,...jbn->...ibn", matrix, before)
        visited.append(s)
        before = s
    return torch.stack(visited)


def draw_blocks(T: int) -> tuple[Tensor, Tensor, Tensor]:
    """Of 3 systems of 2 numbers one that turns, one that grows linearly, one that vanishes."""
    turn = torch.tensor([[0.6, -0.8], [0.8, 0.6]])
    shear = torch.tensor([[1.0, 0.0], [0.5, 1.0]])
    matrix = torch.stack([turn, shear, torch.zeros(2, 2)], -1).double()
    shapes = (T, 2, 4, 3), (2, 4, 3)
    inputs, before = (torch.randn(shape, dtype=torch.float64) for shape in shapes)
    return matrix, inputs, before


@pytest.mark.parametrize("width", WIDTHS, indirect=True)
@pytest.mark.parametrize("T", [1, 4 * RADIX, 257])
def test_block_recurrence_and_gradients(T: int, width: None) -> None:
    leaves = [z.requires_grad_() for z in draw_blocks(T)]
    for arguments in (leaves[:2], leaves):
        ours, theirs = block_scan(*arguments), block_loop(*arguments)
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-11)
        slopes = [
            torch.autograd.grad(s.sin().sum(), arguments, materialize_grads=True)
            for s in (ours, theirs)
        ]
        torch.testing.assert_close(*slopes, rtol=1e-9, atol=1e-9)


def test_block_members_and_second_derivatives(monkeypatch: pytest.MonkeyPatch) -> None:
    draws = [draw_blocks(2 * RADIX + 3)[:2] for _ in range(3)]
    matrix = torch.stack([member * (0.5 + m / 4) for m, (member, _) in enumerate(draws)])
    inputs = torch.stack([u for _, u in draws], 1)
    both = torch.func.grad_and_value(lambda m, u: block_scan(m, u).sin().sum(), argnums=(0, 1))
    gradients, values = torch.func.vmap(both, (0, 1))(matrix, inputs)
    for m in range(3):
        expected = both(matrix[m], inputs[:, m])
        torch.testing.assert_close(
            ([g[m] for g in gradients], values[m]), (list(expected[0]), expected[1])
        )
    monkeypatch.setattr(scan, "RADIX", 2)
    arguments = [z.requires_grad_() for z in draw_blocks(5)[:2]]
    arguments[1] = arguments[1][:, :, :1].detach().requires_grad_()
    assert torch.autograd.gradgradcheck(block_scan, arguments)
