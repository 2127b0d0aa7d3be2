"""Judges fitted models on a split, and sums up what was found over seeds and splits.

Shapes: B queries.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from genre.core.run import Progress, RunContext
from genre.data.dataset import Dataset
from genre.data.splits import Split
from genre.evaluation.clicks import ClickResult, ShownLists, divide_impressions, evaluate_clicks
from genre.evaluation.comparison import compare
from genre.evaluation.config import EvaluationConfig
from genre.evaluation.ranking import RankingResult, RankingTask, evaluate_ranking, make_task
from genre.evaluation.results import Clicks, Curve, GroupResult, Intervals, ModelResult, Results, SliceResult
from genre.evaluation.slices import gap_of
from genre.metrics.beyond import Features, PerQuery
from genre.metrics.classification import CalibrationCurve
from genre.metrics.statistics import Interval, bootstrap_interval, seeds_interval
from genre.recommenders.base import Recommender
