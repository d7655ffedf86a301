"""Groups as matrices, matrices as reflections, and what an automaton's states stand for."""

import numpy as np
import pytest

from seq2seq.tasks import CycleNavigation, GroupWord
from seq2seq.theory import groups
from seq2seq.theory.machines import Automaton


@pytest.mark.parametrize("name", ["Z2", "S3", "D4", "A4xZ2", "A5"])
def test_permutations_act_as_orthogonal_matrices(name):
    elements = groups.group(name)
    matrices, table = groups.representation(elements), groups.table(elements)
    unit = np.eye(matrices.shape[-1])
    np.testing.assert_allclose(
        matrices @ matrices.transpose(0, 2, 1), np.tile(unit, (len(matrices), 1, 1)), atol=1e-12
    )
    for a in range(0, len(elements), 5):
        np.testing.assert_allclose(matrices[a] @ matrices, matrices[table[a]], atol=1e-12)


@pytest.mark.parametrize("order", [2, 3, 5])
def test_a_cyclic_group_turns_the_plane(order):
    turns = groups.rotations(order)
    assert turns.shape[-1] == min(order - 1, 2)
    for a in range(order):
        np.testing.assert_allclose(turns[1] @ turns[a], turns[(a + 1) % order], atol=1e-12)


@pytest.mark.parametrize("kind", ["permutations", "random"])
def test_a_matrix_is_a_product_of_as_few_reflections_as_it_can_be(kind):
    if kind == "permutations":
        matrices = groups.representation(groups.group("S5"))
    else:
        draws = np.random.default_rng(0).normal(size=(20, 4, 4))
        matrices = np.linalg.qr(draws)[0]
    unit = np.eye(4)
    for matrix in matrices:
        vectors = groups.reflections(matrix)
        product = unit
        for k in vectors:
            product = product @ (unit - 2 * np.outer(k, k))
        np.testing.assert_allclose(product, matrix, atol=1e-12)
        assert len(vectors) == np.linalg.matrix_rank(matrix - unit, tol=1e-9)


def test_states_are_the_products_that_lead_to_them():
    task = GroupWord(group="S4", bos=True)
    expected = groups.representation(task.elements)
    np.testing.assert_allclose(task.machine.states(), expected, atol=1e-12)
    walk = CycleNavigation(places=5).machine
    np.testing.assert_allclose(walk.states(), groups.rotations(5), atol=1e-12)
    assert walk.moves.tolist()[2] == [4, 0, 1, 2, 3]
    with pytest.raises(ValueError, match="without matrices"):
        Automaton(np.zeros((2, 2), int)).states()
