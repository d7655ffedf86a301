"""The scan against its recurrence, forwards, backwards and over members."""

import pytest
import torch
from torch import Tensor

from seq2seq.models.scan import RADIX, diagonal_scan

DTYPES = [torch.float64, torch.complex128]


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
