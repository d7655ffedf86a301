"""A model that works in standard units, around any sequence model."""

from typing import Any

from torch import Tensor

from seq2seq.models.around import Around


class Standardized(Around):
    """o = μ_y + σ_y·model((x − μ_x)/σ_x), channel by channel.

    Inputs and outputs are in the units of the data, and so is every loss. In training mode the
    gradient that the model gets is divided by σ_y², so that minimising the squared error in these
    units moves it as minimising that in standard units does. The scaling is part of the state dict.

    Args:
        model: from the channels of x to those of y.
        x_mean, x_deviation, y_mean, y_deviation: (channels,) each.
    """

    x_mean: Tensor
    x_deviation: Tensor
    y_mean: Tensor
    y_deviation: Tensor

    def __init__(
        self, model: Any, x_mean: Tensor, x_deviation: Tensor, y_mean: Tensor, y_deviation: Tensor
    ) -> None:
        super().__init__()
        self.input_dim, self.output_dim = model.input_dim, model.output_dim
        self._surround(model)
        self.register_buffer("x_mean", x_mean.float())
        self.register_buffer("x_deviation", x_deviation.float())
        self.register_buffer("y_mean", y_mean.float())
        self.register_buffer("y_deviation", y_deviation.float())

    def enter(self, x: Tensor) -> Tensor:
        return (x - self.x_mean) / self.x_deviation

    def leave(self, output: Tensor) -> Tensor:
        stated = self.y_mean + self.y_deviation * output
        if not self.training:
            return stated
        return stated.detach() + (output - output.detach()) / self.y_deviation

    def eigenvalues(self) -> list[Tensor]:
        """Those of the model inside."""
        own: list[Tensor] = getattr(self.model, "eigenvalues", list)()
        return own
