"""What an entry of a playbook is worth: by leaving it out, by random dropout, by citations; and when to say nothing."""

from cleartrace.learn.credit.abstain import AbstentionRule, Measured, measure_context
from cleartrace.learn.credit.citations import citation_credit
from cleartrace.learn.credit.draws import Draw, credit_draws
from cleartrace.learn.credit.dropout import dropout, dropout_credit
from cleartrace.learn.credit.intervals import Effect, difference_interval
from cleartrace.learn.credit.leave_one_out import leave_one_out
from cleartrace.learn.credit.probes import AsProbe
from cleartrace.learn.credit.types import Credit, Credits, Method

__all__ = [
    "AbstentionRule",
    "AsProbe",
    "Credit",
    "Credits",
    "Draw",
    "Effect",
    "Measured",
    "Method",
    "citation_credit",
    "credit_draws",
    "difference_interval",
    "dropout",
    "dropout_credit",
    "leave_one_out",
    "measure_context",
]
