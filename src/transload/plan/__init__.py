"""What a run would do now, and why not more: for all that is listed, or for one file. Nothing is changed."""

from __future__ import annotations

from transload.plan.judge import Judge, Planned
from transload.plan.received import explain_upload
from transload.plan.whole import RoutePlan, plan
from transload.plan.why import Answer, explain

__all__ = ["Answer", "Judge", "Planned", "RoutePlan", "explain", "explain_upload", "plan"]
