"""Causal sequence models, one architecture per file."""

from seq2seq.models.diagonal_rnn import DiagonalRNN as DiagonalRNN
from seq2seq.models.impulse import impulse_response as impulse_response
from seq2seq.models.lru import LRU as LRU
from seq2seq.models.rnn import RNN as RNN
from seq2seq.models.s4d import S4D as S4D
from seq2seq.models.tcn import TCN as TCN
from seq2seq.models.transformer import Transformer as Transformer
