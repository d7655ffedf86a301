"""Shared settings: one thread, so that numbers do not depend on the machine."""

import torch

torch.set_num_threads(1)
