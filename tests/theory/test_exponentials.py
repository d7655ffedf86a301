"""Sums of exponentials against kernels that are sums, and against a search of their own."""

import itertools

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from seq2seq.theory.exponentials import best_exponential_sums


def test_a_sum_is_found_again():
    lags = np.arange(60)
    rho = 0.5 * np.exp(-0.4 * lags) - 2 * np.exp(-0.03 * lags)
    none, one, two = best_exponential_sums(rho, 2)
    assert none.error == pytest.approx(rho @ rho)
    assert one.error > 1e-3 * none.error
    assert two.error < 1e-18 * none.error
    assert two.rates == pytest.approx([0.03, 0.4])
    assert two.weights == pytest.approx([-2, 0.5])


def test_one_exponential_against_a_search_over_its_rate():
    rho, weights = (1 + 0.1 * np.arange(40)) ** -1.1, 1 - np.arange(40) / 40

    def error(rate: float) -> float:
        column = np.exp(-rate * np.arange(40))
        c = (weights * column) @ rho / ((weights * column) @ column)
        return float(weights @ (rho - c * column) ** 2)

    best = minimize_scalar(error, bounds=(1e-3, 1), options={"xatol": 1e-10})
    found = best_exponential_sums(rho, 1, weights)[1]
    assert found.error == pytest.approx(best.fun)
    assert found.rates[0] == pytest.approx(best.x, rel=1e-4)


def test_each_further_exponential_divides_the_error_of_a_power_law():
    rho = (1 + 0.1 * np.arange(128)) ** -1.1
    errors = [one.error / (rho @ rho) for one in best_exponential_sums(rho, 6)]
    assert all(after < before / 30 for before, after in itertools.pairwise(errors[1:]))
