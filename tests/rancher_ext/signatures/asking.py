"""Ask one predicate of a bundle or of facts, for the tests."""

from pydantic import TypeAdapter

from rancher_ext.bundle.bundle import Bundle
from rancher_ext.bundle.facts import Facts
from rancher_ext.signatures.predicate_schema import (
    AnyPredicate,
    LogPredicate,
    Predicate,
    TextPredicate,
    nesting_problem,
    unfolded,
)
from rancher_ext.signatures.predicates import Evaluator
from rancher_ext.signatures.scan import Scanner

ADAPTER = TypeAdapter(Predicate)


def parsed(predicate: dict) -> AnyPredicate:
    return ADAPTER.validate_python(predicate)


def evaluator(predicates: list[AnyPredicate], bundle: Bundle | None = None, facts: Facts | None = None) -> Evaluator:
    whole = [each for predicate in predicates for each in unfolded(predicate)]
    patterns = [pattern for each in whole if isinstance(each, LogPredicate) for pattern in each.log]
    patterns += [pattern for each in whole if isinstance(each, TextPredicate) for pattern in each.text]
    return Evaluator(bundle or Bundle.of({}), facts or Facts(), Scanner(patterns), whole)


def ask(predicate: dict, bundle: Bundle | None = None, facts: Facts | None = None):
    question = parsed(predicate)
    assert nesting_problem(question) is None
    return evaluator([question], bundle, facts).evaluate(question)


def truth(predicate: dict, bundle: Bundle | None = None, facts: Facts | None = None) -> str:
    """`true`, `false` or `unknown`, with a question mark when the origin is in doubt."""
    outcome = ask(predicate, bundle, facts)
    return outcome.truth.value + ("" if outcome.certain else "?")
