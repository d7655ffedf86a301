"""Causal sequence models, one architecture per file."""

from seq2seq.models.cornn import CoRNN as CoRNN
from seq2seq.models.diagonal_rnn import DiagonalRNN as DiagonalRNN
from seq2seq.models.esn import ESN as ESN
from seq2seq.models.hyena import Hyena as Hyena
from seq2seq.models.impulse import impulse_response as impulse_response
from seq2seq.models.linoss import LinOSS as LinOSS
from seq2seq.models.lmu import LMU as LMU
from seq2seq.models.lru import LRU as LRU
from seq2seq.models.mamba import Mamba as Mamba
from seq2seq.models.matrix_state import MatrixState as MatrixState
from seq2seq.models.minimal import MinimalRNN as MinimalRNN
from seq2seq.models.orthogonal import OrthogonalRNN as OrthogonalRNN
from seq2seq.models.rg_lru import RGLRU as RGLRU
from seq2seq.models.rnn import RNN as RNN
from seq2seq.models.s4d import S4D as S4D
from seq2seq.models.s5 import S5 as S5
from seq2seq.models.slstm import SLSTM as SLSTM
from seq2seq.models.tcn import TCN as TCN
from seq2seq.models.transformer import Transformer as Transformer
