"""What no model can do from what it keeps: too few bits, or a recurrence of the wrong kind.

**Bits.** A state of B bits tells at most B bits of the n values that it must hold, of entropy H:
Σ_i H(v_i | state) ≥ H − B (bits). A model's cross-entropy is at least that, and by Fano's
inequality a share e of wrong answers among M leaves at most h(e) + e log₂(M − 1) bits of each, on
average too, as that is concave in e.

**Kinds of recurrence.** h_t = A(x_t) h_{t−1} + b(x_t), in finite precision and words of any length:

- if all eigenvalues of all A(x) are real and not negative, in any number of layers, it does not do
  parity (Grazzi et al., "Unlocking state-tracking in linear RNNs through negative eigenvalues",
  ICLR 2025, theorem 1; for diagonal A Sarrof, Veitsman and Hahn, "The expressive capacity of state
  space models", NeurIPS 2024, theorem 2);
- if all of them are real, one layer, or any number of layers with diagonal A, does not count
  modulo m unless m is a power of two (Grazzi et al. 2025, theorem 2);
- if all A(x) are diagonal, one layer does not track a group that is not commutative (Shakerinava et
  al., "The expressive limits of diagonal SSMs for state-tracking", ICLR 2026);
- diagonal ones in any fixed number of layers do not track a group that is not solvable, such as A5
  or S5, unless TC⁰ = NC¹ (Merrill, Petty and Sabharwal, "The illusion of state in state-space
  models", ICML 2024): conditional on what nobody has proved.

None of the four says that words of a given length are out of reach.
"""

import math
from collections.abc import Iterator

import numpy as np
from scipy.optimize import brentq
from scipy.special import entr

from seq2seq.theory.machines import Automaton, Numbers


def least_losses(items: int, choices: int, entropy: float, bits: float) -> tuple[float, float]:
    """The least mean cross-entropy in nats, and the highest accuracy, of n recalled values.

    Args:
        items: n, values that are asked for.
        choices: M, what each may be, 2 or more.
        entropy: H of all of them together, in bits.
        bits: B, what the state holds at most.
    """
    missing = max(0.0, entropy - bits) / items

    def left(e: float) -> float:
        return float(entr([e, 1 - e]).sum()) / math.log(2) + e * math.log2(max(choices - 1, 1))

    most = 1 - 1 / choices  # of wrong answers, by guessing
    if missing <= 0:
        wrong = 0.0
    elif missing >= left(most):
        wrong = most
    else:
        wrong = float(brentq(lambda e: left(e) - missing, 0.0, most))
    return missing * math.log(2), 1 - wrong


def unbounded(
    machine: Automaton, nonnegative: bool, real: bool, diagonal: bool, num_layers: int
) -> Iterator[str]:
    """What is known of a linear recurrence on words of any length, in sentences.

    The automaton is a group, and its states are the elements. Whoever follows a token that is back
    where it was after m times, and not before, counts modulo m.

    Args:
        nonnegative: whether its transitions have only real eigenvalues that are not negative.
        real: whether they have only real ones.
        diagonal: whether they are diagonal.
        num_layers: how many such recurrences there are, one upon another.
    """
    orders = {_order(move) for move in np.unique(machine.moves, axis=0)}
    if nonnegative and any(order % 2 == 0 for order in orders):
        yield (
            "at unbounded length, in finite precision, transitions with real eigenvalues ≥ 0 "
            "cannot do it (Grazzi et al. 2025, theorem 1)"
        )
    elif real and (num_layers == 1 or diagonal) and any(n & (n - 1) for n in orders):
        which = "diagonal transitions" if diagonal else "one layer of transitions"
        yield (
            f"at unbounded length, in finite precision, {which} with real eigenvalues cannot "
            "do it (Grazzi et al. 2025, theorem 2)"
        )
    if diagonal and not _commutes(machine):
        if num_layers == 1:
            yield (
                "at unbounded length, in finite precision, one layer of diagonal transitions "
                "cannot do it (Shakerinava et al. 2026)"
            )
        elif not _is_solvable(machine):
            yield (
                "at unbounded length diagonal transitions cannot do it unless TC⁰ = NC¹ "
                "(Merrill, Petty and Sabharwal 2024), which is not known"
            )


def _order(move: Numbers) -> int:
    """How often a permutation is to be repeated until nothing is moved."""
    power, times = move, 1
    while (power != np.arange(len(move))).any():
        power, times = move[power], times + 1
    return times


def _commutes(machine: Automaton) -> bool:
    moves = np.unique(machine.moves, axis=0)
    return all((a[b] == b[a]).all() for a in moves for b in moves)


def _is_solvable(machine: Automaton) -> bool:
    """Whether the commutators of its group, those of their products, …, come to nothing."""
    table = _table(machine)
    inverse = np.argmax(table == 0, axis=1)
    group = np.arange(len(table))
    while len(group) > 1:
        a, b = group[:, None], group
        derived = np.unique(table[table[a, b], table[inverse[a], inverse[b]]])
        while len(longer := np.unique(table[derived[:, None], derived])) > len(derived):
            derived = longer
        if len(derived) == len(group):
            return False
        group = derived
    return True


def _table(machine: Automaton) -> Numbers:
    """The products of the group, (states, states), each element called by where it leads from 0."""
    moves, order = np.unique(machine.moves, axis=0), machine.moves.shape[1]
    table = np.zeros((order, order), np.int64)
    table[0] = np.arange(order)
    found, fresh = {0}, [0]
    while fresh:
        row = table[fresh.pop()]
        for after in moves[:, row]:
            if int(after[0]) not in found:
                found.add(int(after[0]))
                fresh.append(int(after[0]))
                table[after[0]] = after
    return table
