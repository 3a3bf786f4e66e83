"""Files that a route is expected to bring: by a time, or every so often; late is told once, and recovered once."""

from __future__ import annotations

from transload.expecting.judging import Fine, Late, State, Verdict, Waiting, judge, judge_run, step
from transload.expecting.settings import Expect, Received

__all__ = ["Expect", "Fine", "Late", "Received", "State", "Verdict", "Waiting", "judge", "judge_run", "step"]
