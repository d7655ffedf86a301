"""Causal sequence models, one architecture per file."""

from seq2seq.models.rnn import RNN as RNN
from seq2seq.models.tcn import TCN as TCN
from seq2seq.models.transformer import Transformer as Transformer
