"""Why a call went as it did: plain sentences with evidence and the rule they rest on.

`diagnose` is a pure function of a Call; rules of one's own are functions under the decorator `rule`.
"""

from sipflow.diagnose.call import Call, call_of
from sipflow.diagnose.diagnosis import diagnose
from sipflow.diagnose.own_rule import Rule, load_rules, rule
from sipflow.media.finding import Figure, Finding, Severity

__all__ = ["Call", "Figure", "Finding", "Rule", "Severity", "call_of", "diagnose", "load_rules", "rule"]
