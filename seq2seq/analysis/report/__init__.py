"""A page on a sweep, made from its run folders alone."""

from seq2seq.analysis.intervals import interval as interval
from seq2seq.analysis.intervals import log_interval as log_interval
from seq2seq.analysis.report.comparison import comparisons as comparisons
from seq2seq.analysis.report.growth import Growth as Growth
from seq2seq.analysis.report.growth import growth as growth
from seq2seq.analysis.report.page import report as report
from seq2seq.analysis.report.panels import Panel as Panel
from seq2seq.analysis.report.panels import figures as figures
from seq2seq.analysis.report.search import search as search
from seq2seq.analysis.report.sweep import Sweep as Sweep
from seq2seq.analysis.report.verdict import verdicts as verdicts
