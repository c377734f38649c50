"""Who answers `context_for`: nothing, a text, a playbook, what is nearest, what a model writes, and wrappers."""

from cleartrace.context.providers.abstaining import Abstaining, SolvedAlone, Unlike
from cleartrace.context.providers.base import OverCap
from cleartrace.context.providers.probing import Dropout, Instructed, Perturbation, Probing, Without
from cleartrace.context.providers.retrieved import Retrieved, Row, load_rows, rows_of
from cleartrace.context.providers.search import Method, SentenceEmbedder
from cleartrace.context.providers.simple import Empty, PlaybookProvider, Static
from cleartrace.context.providers.spec import provider_from_spec
from cleartrace.context.providers.written import Hybrid, Model

__all__ = [
    "Abstaining",
    "Dropout",
    "Empty",
    "Hybrid",
    "Instructed",
    "Method",
    "Model",
    "OverCap",
    "Perturbation",
    "PlaybookProvider",
    "Probing",
    "Retrieved",
    "Row",
    "SentenceEmbedder",
    "SolvedAlone",
    "Static",
    "Unlike",
    "Without",
    "load_rows",
    "provider_from_spec",
    "rows_of",
]
