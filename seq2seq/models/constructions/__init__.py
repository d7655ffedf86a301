"""Weights set by hand: models that solve a task exactly, which shows that one can.

`construct` takes a model as its config makes it and overwrites its parameters, so that it becomes
the machine (`seq2seq.theory.machines`) that a task asks for:

    shift register     n cells, of which each takes over the one before, and a readout of them: a
                       linear or ReLU network, a convolution of one tap per layer, and on a ring of
                       cells an orthogonal matrix.
    automaton          one unit for each pair of a state and a token, on where the network is in
                       that state and reads that token (Minsky 1967, "Computation: Finite and
                       Infinite Machines", ch. 3); or the group itself: a token multiplies the state
                       by an orthogonal matrix, made of reflections I − 2kkᵀ by as many writes of
                       the delta rule (Grazzi et al. 2025, theorem 3; Siems et al. 2025), or by a
                       sign, which a gate of range [−1, 1] can be (Sarrof, Veitsman and Hahn 2024).
    sum                a ReLU unit that is u where the mark is 1, and another that adds it up.
    dictionary         β = 1 and orthonormal keys: the delta rule replaces the value of a key
                       exactly (Schlag, Irie and Schmidhuber 2021, sec. 3).

A recurrence from the state 0 has no S_0 = I to multiply. It keeps S = I − M instead of the product
M: with R = I − 2kkᵀ, I − RM = RS + 2kkᵀ, which is the write of v = k at k.
"""

from collections.abc import Callable

import torch
from torch import nn

from seq2seq.models.constructions import dictionary, products, registers, signs, units
from seq2seq.models.constructions.assign import NoConstruction as NoConstruction
from seq2seq.models.mamba import Mamba
from seq2seq.models.matrix_state import MatrixState
from seq2seq.models.minimal import MinimalRNN
from seq2seq.models.orthogonal import OrthogonalRNN
from seq2seq.models.rnn import RNN
from seq2seq.models.tcn import TCN
from seq2seq.models.token import TokenModel
from seq2seq.theory.machines import Automaton, Delay, Dictionary, Machine, MarkedSum, Taps

#: By model and machine.
CONSTRUCTIONS: dict[tuple[type, type], Callable[..., None]] = {
    (RNN, Taps): registers.taps_of_rnn,
    (RNN, Delay): registers.delay_of_rnn,
    (RNN, Automaton): units.automaton_of_rnn,
    (TCN, Taps): registers.taps_of_tcn,
    (TCN, Delay): registers.delay_of_tcn,
    (OrthogonalRNN, Delay): registers.delay_of_orthogonal,
    (MatrixState, Automaton): products.automaton_of_matrix,
    (MatrixState, Dictionary): dictionary.dictionary_of_matrix,
    (MinimalRNN, Automaton): signs.sign_of_minimal,
    (Mamba, Automaton): signs.sign_of_mamba,
    (RNN, MarkedSum): registers.sum_of_rnn,
}


def construct(model: nn.Module, machine: Machine | None) -> None:
    """Overwrite the parameters of a model so that it is the machine.

    Args:
        model: as `build_model` makes it for the task: tokens come through a `TokenModel`.
        machine: as the task says it; None where it knows of none.

    Raises:
        NoConstruction: none is known for its architecture, its options or its size; the parameters
            are no longer what they were.
    """
    if machine is None:
        raise NoConstruction("no construction is known for the task")
    inner = model.model if isinstance(model, TokenModel) else model
    known = CONSTRUCTIONS.get((type(inner), type(machine)))
    if known is None:
        raise NoConstruction(
            f"no construction of the kind {type(machine).__name__} is known for "
            f"{type(inner).__name__}"
        )
    if isinstance(model, TokenModel) and model.bias is not None:
        raise NoConstruction("constructions score tokens by weights of their own (task.tied=false)")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        known(model, inner, machine)
