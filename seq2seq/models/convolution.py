"""Causal convolutions: short dilated ones tap by tap, long ones by Fourier transform."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from seq2seq.models.batching import for_vmap


class CausalConvolution(nn.Module):
    """y_t = b + Σ_{s<k} W_s x_{t−s·dilation}, with x = 0 before the first time; k = kernel_size.

    With `normalised`, weight normalisation (Salimans and Kingma 2016, eq. 2): the filter of each
    output channel is g v/‖v‖. The weight is stored as (out, in, k) with the latest time last.
    """

    def __init__(
        self, input_dim: int, output_dim: int, kernel_size: int, dilation: int, normalised: bool
    ) -> None:
        super().__init__()
        self.kernel_size, self.dilation = kernel_size, dilation
        start = nn.Conv1d(input_dim, output_dim, kernel_size)  # for torch's initialisation
        self.weight = nn.Parameter(start.weight.detach())
        self.bias = nn.Parameter(start.bias.detach()) if start.bias is not None else None
        self.gain = nn.Parameter(self.weight.detach().norm(dim=(1, 2))) if normalised else None

    @property
    def delay(self) -> int:
        """Steps back to the oldest input in reach."""
        return (self.kernel_size - 1) * self.dilation

    def filter(self) -> Tensor:
        if self.gain is None:
            return self.weight
        return self.weight * (self.gain / self.weight.norm(dim=(1, 2)))[:, None, None]

    def forward(self, x: Tensor) -> Tensor:
        """(batch, time, in) -> (batch, time, out)."""
        # Taps older than the sequence meet only zeros. A two-dimensional convolution over a
        # channels-last image one pixel high is the same sum, and 1.6 times faster on CPU than
        # conv1d; (batch, time, channels) is that image already, so nothing is copied.
        taps = min(self.kernel_size, 1 + (x.shape[1] - 1) // self.dilation)
        padded = F.pad(x, (0, 0, (taps - 1) * self.dilation, 0))
        image = padded.permute(0, 2, 1)[:, :, None]
        weight = self.filter()[:, :, None, -taps:]
        y = F.conv2d(image, weight, self.bias, dilation=(1, self.dilation))
        return y[:, :, 0].permute(0, 2, 1)

    def batched_forward(self) -> Callable[[Tensor], Tensor]:
        """One product per tap and member, see `StackedConvolution`."""

        def forward(x: Tensor) -> Tensor:
            y = convolve(x, self.filter(), self.dilation)
            return y if self.bias is None else y + self.bias

        return forward

    def step(self, x_t: Tensor, queue: Tensor) -> tuple[Tensor, Tensor]:
        """`queue` (batch, delay, in) holds the latest inputs, the oldest first."""
        window = torch.cat([queue, x_t[:, None]], 1)
        taps = window[:, :: self.dilation].transpose(1, 2)
        return F.linear(taps.flatten(1), self.filter().flatten(1), self.bias), window[:, 1:]


class StackedConvolution(torch.autograd.Function):
    """Causal convolutions of M members: x (M, B, T, C), weight (M, O, C, k) -> (M, B, T, O).

    Time leads in memory, (M, T, B, C), so that a delay of the input is an offset, and each tap one
    product per member that is added in place; nothing is padded or unfolded.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, dilation: int) -> Tensor:
        M, B, T, C = x.shape
        rows = x.transpose(1, 2).reshape(M, T * B, C)
        taps = weight.permute(3, 0, 2, 1).contiguous()
        y = torch.bmm(rows, taps[-1])
        for tap, lag in _lags(len(taps), dilation, T):
            y[:, lag * B :].baddbmm_(rows[:, : (T - lag) * B], taps[tap])
        ctx.save_for_backward(rows, weight)
        ctx.sizes = (B, T, dilation)
        return y.view(M, T, B, -1).transpose(1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> Any:
        rows, weight = ctx.saved_tensors
        B, T, dilation = ctx.sizes
        M, N, C = rows.shape
        slopes = dy.transpose(1, 2).reshape(M, N, -1)
        taps = weight.permute(3, 0, 1, 2).contiguous()
        dtaps = torch.zeros_like(taps)
        torch.bmm(slopes.mT, rows, out=dtaps[-1])
        dx = torch.bmm(slopes, taps[-1]) if ctx.needs_input_grad[0] else None
        for tap, lag in _lags(len(taps), dilation, T):
            late, early = slopes[:, lag * B :], rows[:, : (T - lag) * B]
            torch.bmm(late.mT, early, out=dtaps[tap])
            if dx is not None:
                dx[:, : (T - lag) * B].baddbmm_(late, taps[tap])
        if dx is not None:
            dx = dx.view(M, T, B, C).transpose(1, 2)
        return dx, dtaps.permute(1, 2, 3, 0), None


def _lags(kernel_size: int, dilation: int, T: int) -> list[tuple[int, int]]:
    """(tap, delay in steps) of all taps but the latest that see a sequence of T steps."""
    lags = [(tap, (kernel_size - 1 - tap) * dilation) for tap in range(kernel_size - 1)]
    return [(tap, lag) for tap, lag in lags if lag < T]


convolve = for_vmap(StackedConvolution.apply)


def causal_convolution(x: Tensor, kernel: Tensor) -> Tensor:
    """y_t = Σ_{s≤t} κ_s x_{t−s} by FFT: (…, time) and (…, time) -> (…, time)."""
    T = x.shape[-1]
    spectrum = torch.fft.rfft(x, 2 * T) * torch.fft.rfft(kernel, 2 * T)
    return torch.fft.irfft(spectrum, 2 * T)[..., :T]
