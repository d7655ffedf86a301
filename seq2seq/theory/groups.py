"""Finite groups as permutations of points, and as orthogonal matrices."""

import itertools
import re
from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

Permutation = tuple[int, ...]

#: Most elements that a group may have: its table holds their square.
LARGEST = 1000

#: A vector that is moved by less than this is where it was, up to rounding.
UNMOVED = 1e-9

#: What a group is called.
NAMES = "Z<n>, S<n>, A<n>, D<n> (of the n-gon), or products of these such as A4xZ5"


def group(name: str) -> list[Permutation]:
    """The elements of a group in lexicographic order, the identity first.

    `p[i]` is where the point i goes. Z<n> turns n points round, S<n> and A<n> are all and the even
    permutations of n points, D<n> has the 2n symmetries of the n-gon; the factors of a product
    each have points of their own.

    Raises:
        ValueError: an unknown name, or more than `LARGEST` elements.
    """
    found = dict.fromkeys(generators(name))
    fresh = list(found)
    while fresh:
        products = {compose(a, b) for a in fresh for b in generators(name)}
        fresh = [p for p in products if p not in found]
        found |= dict.fromkeys(fresh)
        if len(found) > LARGEST:
            raise ValueError(f"group {name} has more than {LARGEST} elements")
    return sorted(found)


def generators(name: str) -> list[Permutation]:
    """A few elements whose products are all; the identity is one of them.

    Raises:
        ValueError: an unknown name.
    """
    factors = [re.fullmatch(r"([ZSAD])([1-9]\d{0,2})", part) for part in re.split("[x×]", name)]
    sizes = [int(factor[2]) for factor in factors if factor]
    if len(sizes) < len(factors):
        raise ValueError(f"group {name!r} is not known; known are {NAMES}")
    found = [tuple(range(sum(sizes)))]
    starts = itertools.accumulate(sizes, initial=0)
    for factor, start in zip(factors, starts, strict=False):
        assert factor
        for own in _generators(factor[1], int(factor[2])):
            moved = list(found[0])
            moved[start : start + len(own)] = [start + point for point in own]
            found.append(tuple(moved))
    return [*dict.fromkeys(found)]


def _generators(kind: str, n: int) -> Iterator[Permutation]:
    """Of Z, S, A or D on n points."""
    points = tuple(range(n))
    if kind in "ZD" or kind == "S":
        yield points[1:] + points[:1]
    if kind == "D" and n > 2:
        yield points[::-1]
    if kind == "S" and n > 1:
        yield (1, 0, *points[2:])
    if kind == "A":
        yield from ((1, k, *points[2:k], 0, *points[k + 1 :]) for k in range(2, n))


def compose(a: Permutation, b: Permutation) -> Permutation:
    """a·b: first b, then a."""
    return tuple(a[point] for point in b)


def table(elements: list[Permutation]) -> np.ndarray:
    """The number of the product a·b by the numbers of a and b, (order, order)."""
    points = np.array(elements)
    base: list[int] = []
    codes, told = np.zeros(len(points), int), 0
    for point, column in enumerate(points.T):  # a few points tell all elements apart
        longer = codes * points.shape[1] + column
        if told < len(points) and (now := len(np.unique(longer))) > told:
            base, codes, told = [*base, point], longer, now
    products = np.zeros((len(points), len(points)), int)
    for point in base:
        products = products * points.shape[1] + points[:, points[:, point]]
    order = codes.argsort()
    return order[np.searchsorted(codes[order], products)]


def moved(element: Permutation) -> int:
    """How many points an element moves."""
    return sum(point != place for place, point in enumerate(element))


def representation(elements: list[Permutation]) -> NDArray[np.float64]:
    """Orthogonal matrices of permutations of n points, (order, n − 1, n − 1).

    They act on the vectors of n numbers whose sum is 0, in an orthonormal basis (Helmert's).
    """
    from scipy.linalg import helmert

    basis = helmert(len(elements[0]))
    return np.stack([basis[:, list(p)] @ basis.T for p in elements])


def rotations(order: int) -> NDArray[np.float64]:
    """The cyclic group as turns of the plane, (order, 2, 2), or for two elements as signs."""
    if order == 2:
        return np.array([[[1.0]], [[-1.0]]])
    angle = 2 * np.pi * np.arange(order) / order
    rows = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return np.moveaxis(np.array(rows), -1, 0)


def reflections(matrix: ArrayLike) -> list[NDArray[np.float64]]:
    """Unit vectors k_1, …, k_r with matrix = (I − 2 k_1 k_1ᵀ) ⋯ (I − 2 k_r k_rᵀ), r the least.

    That is the rank of matrix − I (Cartan and Dieudonné; Scherk, "On the decomposition of
    orthogonalities into symmetries", Proc. AMS 1 (1950)): each one reflects a vector that the rest
    moves back to its place, and so leaves one direction fewer to be moved.

    Args:
        matrix: orthogonal, (d, d).
    """
    rest = np.asarray(matrix, dtype=np.float64)
    found: list[NDArray[np.float64]] = []
    while True:
        moved = rest - np.eye(len(rest))
        farthest = moved[:, np.linalg.norm(moved, axis=0).argmax()]
        if (length := np.linalg.norm(farthest)) < UNMOVED:
            return found
        found.append(farthest / length)
        rest = rest - 2 * np.outer(found[-1], found[-1] @ rest)
