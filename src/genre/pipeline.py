"""The story: load, clean, split, fit, evaluate, recommend, write, save, report.

Read `run` from top to bottom; every step is a call into the package that does it.
"""

from __future__ import annotations

import json
from pathlib import Path

from genre.config import Experiment
from genre.core.run import Progress, Silent
from genre.evaluation.comparison import leaderboard
from genre.evaluation.report import render_report
from genre.prepare import Prepared, prepare, source_key
from genre.runs import build_engine, open_run, write_answers
from genre.trial import Trial, make_plan, run_trial
from genre.workspace import Workspace


def run(experiment: Experiment, directory: Path, *, force: bool = False, progress: Progress | None = None) -> Path:
    """Run an experiment; return the directory that holds all that came out of it.

    Args:
        experiment: What to do.
        directory: Where runs are kept; this one gets the experiment's name.
        force: Replace a finished run of that name.
        progress: Shows how far it has come.
    """
