"""Recurrent networks of many members at once: batched products over preallocated buffers.

torch's fused recurrences have no batching rule, and a loop of cells under `vmap` allocates afresh
at every time. Here the states of all members lie in one buffer, feature by feature, so that one
batched product advances all of them; it and the backward pass are written by hand.

Shapes: M members, B sequences, T times, H hidden units, D inputs, O outputs, G rows of gates.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from seq2seq.models.batching import for_vmap

#: Rows of pre-activations per hidden unit. The GRU's candidate has two, as its reset gate
#: multiplies what comes from the state and not what comes from the input.
ROWS = {"tanh": 1, "relu": 1, "linear": 1, "lstm": 4, "gru": 4}
#: Hidden units up to which the factor of a weight's derivative is worth transposing in memory: MKL
#: multiplies small matrices by transposed ones at a sixth of its speed.
FEW = 32

_sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input
_tanh_backward = torch.ops.aten.tanh_backward.grad_input
_threshold_backward = torch.ops.aten.threshold_backward.grad_input


class Layer:
    """One recurrent layer's buffers, for given sizes.

    `joint[t]` (M, H+D+1, B) holds h_t, x_t and 1, so that W·joint[t] is the whole pre-activation.
    `slopes[t]` (M, G+R, B) holds the loss's derivatives by the pre-activations of time t and, of
    time t−1, by the R numbers that the layer above (or the readout) computes from this one's state.
    Unless something below reads them, two of them are used in turns, which stay in the cache.
    """

    def __init__(
        self,
        cell: str,
        like: Tensor,
        sizes: tuple[int, int, int, int, int],
        above: int,
        is_last: bool,
    ) -> None:
        M, T, B, H, D = sizes
        rows = ROWS[cell] * H
        self.cell, self.sizes, self.rows = cell, sizes, rows
        self.above, self.is_last = above, is_last
        self.joint = like.new_zeros(T + 1, M, H + D + 1, B)
        self.joint[:, :, H + D :] = 1
        self.inputs = self.joint[:T, :, H : H + D]
        self.states = self.joint[1:, :, :H]
        self.slopes = like.new_empty(0)
        # The readout's slope comes along with the weight's: the states that it reads are there too.
        self.weight_slope = like.new_empty(M, rows + above if is_last else rows, H + D + 1)
        self.dh, self.scratch = like.new_empty(2, M, H, B)
        # Views for each time are made once: making one costs as much as a small product.
        self._joint = self.joint.unbind(0)
        self._joint_transposed = [joint.mT for joint in self._joint]
        self._turned = like.new_empty(M, B, H + D + 1) if H <= FEW else None
        self._h = [joint[:, :H] for joint in self._joint]
        self.outputs = like.new_empty(T, M, above, B) if is_last else like.new_empty(0)
        if cell in ("lstm", "gru"):
            gates = like.new_empty(T, M, rows, B)
            self._gates = gates.unbind(0)
            self._by_gate = [gate.split(H, 1) for gate in self._gates]
            sigmoids = (3 if cell == "lstm" else 2) * H
            self._sigmoids = [gate[:, :sigmoids] for gate in self._gates]
            self._dsigmoids = like.new_empty(M, sigmoids, B)
            self._dsigmoid = self._dsigmoids.split(H, 1)
            self.carry = like.new_empty(M, H, B)
        if cell == "lstm":
            self._c = like.new_zeros(T + 1, M, H, B).unbind(0)
            self._tanh_c = like.new_empty(T, M, H, B).unbind(0)

    def _make_slopes(self, kept: int) -> None:
        """Have `slopes` of so many times, in turns those of all."""
        if len(self.slopes) == kept:
            return
        M, T, B, H, _ = self.sizes
        self.slopes = self.joint.new_empty(kept, M, self.rows + self.above, B)
        self._slopes = [self.slopes[t % kept] for t in range(T + 1)]
        self._dz = [slopes[:, : self.rows] for slopes in self._slopes]
        self._upstream = [slopes[:, self.rows :] for slopes in self._slopes]
        self._outer = self._slopes if self.is_last else self._dz
        if self.cell in ("lstm", "gru"):
            self._dz_by_gate = [dz.split(H, 1) for dz in self._dz]
            self._dz_of_sigmoids = [dz[:, : self._dsigmoids.shape[1]] for dz in self._dz]

    def forward(self, weight: Tensor) -> None:
        """Fill the states of all times, given `inputs` and the weight (M, G, H+D+1)."""
        for t in range(self.sizes[1]):
            if self.cell == "lstm":
                torch.bmm(weight, self._joint[t], out=self._gates[t])
                self._sigmoids[t].sigmoid_()
                i, f, o, g = self._by_gate[t]
                c = torch.mul(f, self._c[t], out=self._c[t + 1]).addcmul_(i, g.tanh_())
                torch.mul(o, torch.tanh(c, out=self._tanh_c[t]), out=self._h[t + 1])
            elif self.cell == "gru":
                torch.bmm(weight, self._joint[t], out=self._gates[t])
                self._sigmoids[t].sigmoid_()
                r, z, n, n_h = self._by_gate[t]
                torch.lerp(n.addcmul_(r, n_h).tanh_(), self._h[t], z, out=self._h[t + 1])
            elif self.cell == "tanh":
                z = torch.bmm(weight, self._joint[t], out=self.scratch)
                torch.tanh(z, out=self._h[t + 1])
            else:
                z = torch.bmm(weight, self._joint[t], out=self.scratch)
                self._h[t + 1].copy_(z.relu_() if self.cell == "relu" else z)

    def read(self, readout: Tensor) -> Tensor:
        """The last layer's outputs (T, M, O, B) by the readout (M, O, H), in a buffer."""
        for h, y in zip(self._h[1:], self.outputs.unbind(0), strict=True):
            torch.bmm(readout, h, out=y)
        return self.outputs

    def backward(self, weight: Tensor, above: Tensor, upstream: Tensor, keep: bool) -> Tensor:
        """The loss's derivative by the weight (M, G, H+D+1).

        For the last layer the readout's derivative follows it, in the first H columns.

        Args:
            above: what is computed from the states, (M, R, H).
            upstream: the loss's derivatives by that, (T, M, R, B).
            keep: keep those by the pre-activations, in `slopes`.
        """
        T, H = self.sizes[1], self.sizes[3]
        self._make_slopes(T + 1 if keep else 2)
        back = torch.cat([weight[:, :, :H].mT, above.mT], 2)
        self._dz[T].zero_()
        self.weight_slope.zero_()
        if self.cell in ("lstm", "gru"):
            self.carry.zero_()
        for t, by_outputs in zip(range(T - 1, -1, -1), reversed(upstream.unbind(0)), strict=True):
            self._upstream[t + 1].copy_(by_outputs)
            self._add_weight_slope(t + 1)
            torch.bmm(back, self._slopes[t + 1], out=self.dh)
            self._backward_step(t)
        self._upstream[0].zero_()
        self._add_weight_slope(0)
        return self.weight_slope

    def _add_weight_slope(self, t: int) -> None:
        joint = self._joint_transposed[t]
        if self._turned is not None:
            joint = self._turned.copy_(joint)
        self.weight_slope.baddbmm_(self._outer[t], joint)

    def _backward_step(self, t: int) -> None:
        """From the derivative `dh` by h_{t+1} to that by the pre-activations of time t."""
        dh = self.dh
        if self.cell == "lstm":
            i, f, o, g = self._by_gate[t]
            di, df, do = self._dsigmoid
            dc, scratch = self.carry, self.scratch
            torch.mul(dh, self._tanh_c[t], out=do)
            _tanh_backward(dh.mul_(o), self._tanh_c[t], grad_input=scratch)
            dc.add_(scratch)
            torch.mul(dc, g, out=di)
            torch.mul(dc, self._c[t], out=df)
            torch.mul(dc, i, out=scratch)
            _tanh_backward(scratch, g, grad_input=self._dz_by_gate[t][3])
            dc.mul_(f)
        elif self.cell == "gru":
            r, z, n, n_h = self._by_gate[t]
            dn, dn_h = self._dz_by_gate[t][2:]
            dr, dz = self._dsigmoid
            dh.add_(self.carry)
            torch.mul(dh, z, out=self.carry)
            torch.sub(self._h[t], n, out=dz).mul_(dh)
            _tanh_backward(dh.sub_(self.carry), n, grad_input=dn)
            torch.mul(dn, r, out=dn_h)
            torch.mul(dn, n_h, out=dr)
        elif self.cell == "tanh":
            _tanh_backward(dh, self._h[t + 1], grad_input=self._dz[t])
        elif self.cell == "relu":
            _threshold_backward(dh, self._h[t + 1], 0, grad_input=self._dz[t])
        else:
            self._dz[t].copy_(dh)
        if self.cell in ("lstm", "gru"):
            sigmoids = self._sigmoids[t]
            _sigmoid_backward(self._dsigmoids, sigmoids, grad_input=self._dz_of_sigmoids[t])


def joint_weight(cell: str, inputs: Tensor, recurrent: Tensor, *biases: Tensor) -> Tensor:
    """The parameters of one layer of one member as one matrix (G, H+D+1)."""
    if not biases:  # the last column of `inputs` is the bias already
        return torch.cat([recurrent, inputs], 1)
    of_inputs, of_state = (bias[:, None] for bias in biases)
    whole = torch.cat([recurrent, inputs, of_inputs + of_state], 1)
    if cell == "lstm":
        i, f, g, o = whole.chunk(4)
        return torch.cat([i, f, o, g])  # what is a sigmoid lies together
    H, D = recurrent.shape[1], inputs.shape[1]
    from_inputs = torch.cat([inputs.new_zeros(H, H), inputs[2 * H :], of_inputs[2 * H :]], 1)
    from_state = torch.cat([recurrent[2 * H :], inputs.new_zeros(H, D), of_state[2 * H :]], 1)
    return torch.cat([whole[: 2 * H], from_inputs, from_state])


@dataclass
class Network:
    """A recurrent model without its parameters, and the buffers that are free for its passes."""

    cell: str
    hidden_size: int
    num_layers: int
    free: dict[Any, list[list[Layer]]] = field(default_factory=lambda: defaultdict(list))

    def buffers(self, x: Tensor, outputs: int) -> list[Layer]:
        """Buffers for inputs like x (M, B, T, D); `release` gives them back."""
        M, B, T, D = x.shape
        key = (x.shape, x.dtype, x.device)
        if self.free[key]:
            return self.free[key].pop()
        H, last = self.hidden_size, self.num_layers - 1
        return [
            Layer(
                self.cell,
                x,
                (M, T, B, H, D if layer == 0 else H),
                outputs if layer == last else ROWS[self.cell] * H,
                layer == last,
            )
            for layer in range(self.num_layers)
        ]

    def release(self, x_shape: torch.Size, layers: list[Layer]) -> None:
        joint = layers[0].joint
        self.free[(x_shape, joint.dtype, joint.device)].append(layers)


class Stacked(torch.autograd.Function):
    """The network's outputs (M, B, T, O) for inputs (M, B, T, D).

    The readout is (M, O, H), its bias (M, O), and each layer's weight that of `joint_weight`.
    """

    @staticmethod
    def forward(
        ctx: Any, network: Network, x: Tensor, readout: Tensor, bias: Tensor, *weights: Tensor
    ) -> Tensor:
        layers = network.buffers(x, readout.shape[1])
        below = x.permute(2, 0, 3, 1)
        for layer, weight in zip(layers, weights, strict=True):
            layer.inputs.copy_(below)
            layer.forward(weight)
            below = layer.states
        y = layers[-1].read(readout).add(bias[:, :, None])
        if any(ctx.needs_input_grad):
            ctx.save_for_backward(readout, *weights)
            ctx.network, ctx.layers, ctx.shape = network, layers, x.shape
        else:
            network.release(x.shape, layers)
        return y.permute(1, 3, 0, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> Any:
        network, layers, H = ctx.network, ctx.layers, ctx.network.hidden_size
        readout, *weights = ctx.saved_tensors
        above, upstream = readout, dy.permute(2, 0, 3, 1)
        slopes: list[Tensor] = []
        for index in range(len(layers) - 1, -1, -1):
            layer, weight = layers[index], weights[index]
            keep = index > 0 or ctx.needs_input_grad[1]
            # A buffer; what autograd keeps must be its own.
            slope = layer.backward(weight, above, upstream, keep)
            slopes.insert(0, slope[:, : layer.rows].clone())
            above, upstream = weight[:, :, H:-1], layer.slopes[:-1, :, : layer.rows]
        last = layers[-1]
        dreadout = last.weight_slope[:, last.rows :, :H].clone()
        dbias = dy.sum((1, 2))
        dx = None
        if ctx.needs_input_grad[1]:
            dx = torch.matmul(above.mT, upstream).permute(1, 3, 0, 2)
        network.release(ctx.shape, layers)
        return None, dx, dreadout, dbias, *slopes


run_network = for_vmap(Stacked.apply)
