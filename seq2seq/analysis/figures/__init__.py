"""Figures for notebooks, TensorBoard, the report and the explorer, all in one style.

Every function returns a `matplotlib.figure.Figure` of its own: nothing is registered with pyplot
and no global setting changes. `figures.architecture` draws models and is imported by its name.
"""

from seq2seq.analysis.figures.canvas import BLACK as BLACK
from seq2seq.analysis.figures.canvas import BLUE as BLUE
from seq2seq.analysis.figures.canvas import DARK as DARK
from seq2seq.analysis.figures.canvas import DASHED as DASHED
from seq2seq.analysis.figures.canvas import GREEN as GREEN
from seq2seq.analysis.figures.canvas import GREY as GREY
from seq2seq.analysis.figures.canvas import ORANGE as ORANGE
from seq2seq.analysis.figures.canvas import PURPLE as PURPLE
from seq2seq.analysis.figures.canvas import SKY as SKY
from seq2seq.analysis.figures.canvas import VERMILION as VERMILION
from seq2seq.analysis.figures.canvas import array as array
from seq2seq.analysis.figures.canvas import files as files
from seq2seq.analysis.figures.canvas import number as number
from seq2seq.analysis.figures.canvas import plain_ticks as plain_ticks
from seq2seq.analysis.figures.canvas import png as png
from seq2seq.analysis.figures.canvas import style as style
from seq2seq.analysis.figures.canvas import svg as svg
from seq2seq.analysis.figures.curves import draw_references as draw_references
from seq2seq.analysis.figures.curves import impulse_response as impulse_response
from seq2seq.analysis.figures.curves import name_references as name_references
from seq2seq.analysis.figures.curves import plateaus as plateaus
from seq2seq.analysis.figures.curves import prediction as prediction
from seq2seq.analysis.figures.curves import spread as spread
from seq2seq.analysis.figures.curves import thin as thin
from seq2seq.analysis.figures.sweeps import Curve as Curve
from seq2seq.analysis.figures.sweeps import Line as Line
from seq2seq.analysis.figures.sweeps import Phases as Phases
from seq2seq.analysis.figures.sweeps import Times as Times
from seq2seq.analysis.figures.sweeps import eigenvalues as eigenvalues
from seq2seq.analysis.figures.sweeps import escape_times as escape_times
from seq2seq.analysis.figures.sweeps import generalisation as generalisation
from seq2seq.analysis.figures.sweeps import heat_map as heat_map
from seq2seq.analysis.figures.sweeps import kernels as kernels
from seq2seq.analysis.figures.sweeps import loss_panels as loss_panels
from seq2seq.analysis.figures.sweeps import means as means
from seq2seq.analysis.figures.sweeps import phase_diagram as phase_diagram
from seq2seq.analysis.figures.sweeps import searched as searched
from seq2seq.analysis.figures.theory import SMALLEST as SMALLEST
from seq2seq.analysis.figures.theory import BoundedErrors as BoundedErrors
from seq2seq.analysis.figures.theory import order_bounds as order_bounds
from seq2seq.analysis.figures.theory import perturbation as perturbation
from seq2seq.analysis.figures.theory import spectra as spectra
