"""What watches a run: checkpoints, the progress line, pictures, early stops.

Each class says in `changes_course` whether the numbers of a run depend on it: two runs that differ
only in callbacks that do not change the course are one. A class that does not say counts as if it
did.
"""

from seq2seq.callbacks.checkpoints import Checkpoints as Checkpoints
from seq2seq.callbacks.checkpoints import Clock as Clock
from seq2seq.callbacks.generalisation import Generalisation as Generalisation
from seq2seq.callbacks.pictures import Figures as Figures
from seq2seq.callbacks.pictures import References as References
from seq2seq.callbacks.pictures import Snapshots as Snapshots
from seq2seq.callbacks.progress import Pace as Pace
from seq2seq.callbacks.progress import ProgressReport as ProgressReport
from seq2seq.callbacks.stopping import Interruption as Interruption
from seq2seq.callbacks.stopping import Pruning as Pruning
from seq2seq.callbacks.stopping import StopAfterEscape as StopAfterEscape
from seq2seq.callbacks.stopping import StopAtTarget as StopAtTarget
from seq2seq.callbacks.stopping import TimeLimit as TimeLimit
from seq2seq.callbacks.stopping import TimeUp as TimeUp
from seq2seq.callbacks.together import gather as gather
from seq2seq.callbacks.together import members as members
