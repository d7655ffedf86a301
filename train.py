"""Train a model on a task, or sweep over many: `seq2seq train`, from a checkout.

python train.py model=tcn task=shift task.k=8
python train.py -m model=rnn,tcn task.k=4,8,16 seed=0,1,2
"""

import sys

from seq2seq.programs import run

if __name__ == "__main__":
    sys.exit(run("train", sys.argv[1:]))
