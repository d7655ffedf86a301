import numpy as np
import pytest
import yaml
from scipy.special import airy

from seq2seq.schema import CONFIGS
from seq2seq.theory import kernels

GRID = 0.1 * np.arange(128)

FORMULAS = {
    "exponential": np.exp(-GRID),
    "exponential_sum": 0.5 * np.exp(-GRID) + 0.5 * np.exp(-0.1 * GRID),
    "power_law": 1 / (1 + 0.1 * GRID) ** 1.1,
    "gaussian": np.exp(-((GRID - 4) ** 2) / 2),
    "airy": airy(2.25 * (GRID - 4))[0],
    "damped_cosine": np.exp(-0.2 * GRID) * np.cos(2 * GRID),
    "two_part": np.exp(-GRID) + np.exp(-((GRID - 9) ** 2)),
    "plateau": np.exp(-GRID) + np.exp(-((GRID - 4) ** 2) / 2 / 0.3**2),
    "impulse": np.eye(128)[8] / 0.1,
}


@pytest.mark.parametrize("family", kernels.FAMILIES)
def test_sample_follows_the_formula(family):
    values = kernels.build(family).sample(128, 0.1)
    assert values.dtype == np.float64
    np.testing.assert_allclose(values, FORMULAS[family], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("family", kernels.FAMILIES)
def test_config_states_the_defaults(family):
    written = yaml.safe_load((CONFIGS / "task" / "filter" / f"{family}.yaml").read_text())
    assert written.pop("_target_").endswith(f".{kernels.FAMILIES[family].__name__}")
    assert written.pop("defaults") == [f"{family}_schema", "_self_"]
    assert kernels.build(family, written) == kernels.build(family)


def test_every_config_is_a_family_or_the_default_list():
    names = {path.stem for path in (CONFIGS / "task" / "filter").glob("*.yaml")}
    assert names == {*kernels.FAMILIES, "bell"}


def test_impulse_beyond_the_grid_is_absent():
    assert not kernels.Impulse(8).sample(8).any()


def test_plateau_adds_a_shifted_kernel():
    kernel = kernels.Plateau(delay=2.0, rho_bar=kernels.PowerLaw(), rho_0="exponential")
    expected = kernels.PowerLaw()(GRID) + np.where(GRID >= 2, np.exp(2 - GRID), 0)
    np.testing.assert_allclose(kernel(GRID), expected, rtol=1e-12)


def test_parameters_are_used():
    np.testing.assert_allclose(
        kernels.build("exponential", {"rate": 3.0}).sample(5, 0.2),
        np.exp(-0.6 * np.arange(5)),
    )


@pytest.mark.parametrize(
    ("family", "parameters", "message"),
    [
        ("exponentail", {}, "did you mean 'exponential'"),
        ("wave", {}, "known: impulse"),
        ("power_law", {"exponnent": 1}, "filter.exponnent.*did you mean 'exponent'"),
        ("exponential", {"rate": 0.0}, "rate must be positive, got rate=0.0"),
        ("power_law", {"exponent": float("nan")}, "exponent must be positive"),
        ("gaussian", {"width": -1.0}, "width must be positive"),
        ("impulse", {"k": -1}, "k must be at least 0"),
        ("exponential_sum", {"weights": [1.0]}, "equally long"),
        ("exponential_sum", {"weights": [], "rates": []}, "non-empty"),
        ("exponential_sum", {"rates": [1.0, -1.0]}, "rates must be positive"),
        ("plateau", {"rho_0": "impulse"}, "rho_0 must be a kernel given by a formula"),
        ("plateau", {"rho_bar": "expo"}, "must be a kernel family"),
    ],
)
def test_bad_kernels_are_refused(family, parameters, message):
    with pytest.raises(ValueError, match=message):
        kernels.build(family, parameters)
