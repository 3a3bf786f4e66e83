"""Files that a route is expected to bring: by a time, or every so often; late is told once, and recovered once."""

from __future__ import annotations

from transload.expecting.judging import Fine, Late, Verdict, Waiting, deadline_before, horizon, judge, judge_run
from transload.expecting.settings import Expect, Received

__all__ = ["Expect", "Fine", "Late", "Received", "Verdict", "Waiting", "deadline_before", "horizon", "judge", "judge_run"]
