"""What several nodes said to one question: their answers, and why some gave none."""

from dataclasses import dataclass, field
from typing import Generic, TypeVar

from sipflow.errors import CallUnknown, SipflowError
from sipflow.node import Node
from sipflow.query.answer import Fault

T = TypeVar("T")


@dataclass
class Heard(Generic[T]):
    """Answers of those who know the call; who does not know it is no fault."""

    answers: list[tuple[Node, T]] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    errors: list[SipflowError] = field(default_factory=list)

    def add(self, node: Node, answer: T | SipflowError) -> None:
        """Note what a node said."""
        if not isinstance(answer, SipflowError):
            self.answers.append((node, answer))
            return
        self.errors.append(answer)
        if not isinstance(answer, CallUnknown):
            self.faults.append(Fault(node.name, str(answer)))

    @property
    def refusal(self) -> SipflowError:
        """Give the error of a question that nobody answered: that nobody knows the call only if all say so."""
        others = [error for error in self.errors if not isinstance(error, CallUnknown)]
        if not others:
            return self.errors[0]
        return type(others[0])("; ".join(map(str, others)))
