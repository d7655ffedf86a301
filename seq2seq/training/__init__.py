"""From a config to a finished run: `train.py` and `seq2seq.train` both end up here."""

from seq2seq.training.configure import build_callbacks as build_callbacks
from seq2seq.training.configure import check as check
from seq2seq.training.configure import configure as configure
from seq2seq.training.configure import example as example
from seq2seq.training.configure import quiet as quiet
from seq2seq.training.fitting import find_checkpoint as find_checkpoint
from seq2seq.training.fitting import finite as finite
from seq2seq.training.fitting import fit as fit
from seq2seq.training.fitting import outcome as outcome
from seq2seq.training.fitting import told as told
from seq2seq.training.fitting import warn_of_short_sight as warn_of_short_sight
from seq2seq.training.hparams import tabulate as tabulate
from seq2seq.training.hparams import tabulate_again as tabulate_again
from seq2seq.training.loggers import build_loggers as build_loggers
from seq2seq.training.loggers import close_loggers as close_loggers
from seq2seq.training.loggers import log_outcome as log_outcome
from seq2seq.training.running import begin as begin
from seq2seq.training.running import claim as claim
from seq2seq.training.running import note_failure as note_failure
from seq2seq.training.running import run as run
from seq2seq.training.running import train as train
from seq2seq.training.signals import interruptible as interruptible
from seq2seq.training.signals import stopping_workers as stopping_workers
