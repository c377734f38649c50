"""Rule world: an environment whose right answers depend on rules in the context, with a simulated agent and learner."""

from cleartrace.environments.ruleworld.agent import SimulatedAgent
from cleartrace.environments.ruleworld.environment import RuleWorld
from cleartrace.environments.ruleworld.mutator import Drafting, ScriptedMutator
from cleartrace.environments.ruleworld.reflector import Insight, ScriptedReflector
from cleartrace.environments.ruleworld.rules import Item, Rule, rules_in
from cleartrace.environments.ruleworld.world import Habits, Kind, Options, Order, World

__all__ = [
    "Drafting",
    "Habits",
    "Insight",
    "Item",
    "Kind",
    "Options",
    "Order",
    "Rule",
    "RuleWorld",
    "ScriptedMutator",
    "ScriptedReflector",
    "SimulatedAgent",
    "World",
    "rules_in",
]
