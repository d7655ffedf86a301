"""Which architecture suits which memory: what recurrences and dilated convolutions must miss.

seq2seq bounds
seq2seq bounds power_law:rate=0.05 impulse:k=24 length=64 parameters=12,24,48
"""

from collections.abc import Sequence
from pathlib import Path

from seq2seq import checks, results
from seq2seq.errors import ConfigError
from seq2seq.theory import bounds
from seq2seq.theory.kernels import response

DEFAULT = ("impulse:k=12", "exponential:rate=0.2", "gaussian:centre=12", "power_law", "random")


def main(
    *kernels: str,
    length: int = 32,
    parameters: Sequence[int] = (10, 16, 24),
    json: Path | None = None,
) -> None:
    """Print the table.

    Args:
        kernels: family:parameter=value:…, or random:seed=… for white noise
        length: lags
        parameters: of each model
        json: write the rows to this file, too
    """
    for key, size in (("length", length), *(("parameters", count) for count in parameters)):
        checks.integer(key, size)
    checks.writable("json", json)
    responses = {name: response(name, length) for name in kernels or DEFAULT}
    for name, rho in responses.items():
        if not rho.any():
            raise ConfigError(f"{name} is zero at all of length={length} lags; raise length")
    table = bounds.compare(responses, parameters)
    results.store(json, table.to_dict("records"))
    print("Relative errors Σ(ρ − ρ̂)² / Σρ² of models with as many parameters.\n")
    # Two digits; 0 for what is rounding.
    print(table.to_string(index=False, float_format=lambda e: f"{e:.2g}" if e > 1e-12 else "0"))
