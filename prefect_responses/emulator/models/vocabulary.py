"""The words that the rules of reading know."""

from __future__ import annotations

#: Words that speak for a label although they are not in its name.
SYNONYMS: dict[str, str] = {
    "bug": "error crash fail failure broken exception traceback defect wrong fix fixed",
    "feature": "add support request wish enhancement new allow introduce",
    "question": "how what why help understand explain",
    "documentation": "docs readme guide tutorial typo example",
    "security": "vulnerability cve exploit leak password credential",
    "performance": "slow fast speed memory latency",
    "breaking": "removed incompatible remove drop dropped",
    "positive": "good great love excellent happy thanks best amazing wonderful perfect",
    "negative": "bad terrible hate awful worst poor disappointed angry useless refund",
    "billing": "invoice charge charged refund payment price subscription",
    "shipping": "delivery package parcel arrive arrived courier tracking",
    "account": "login password signin profile email locked",
    "technical": "error crash bug install api code server",
    "high": "urgent critical immediately asap severe outage down",
    "urgent": "immediately asap critical now emergency",
    "critical": "outage down urgent severe data loss",
    "low": "minor cosmetic trivial whenever nice",
    "sports": "game team match player coach season win",
    "business": "market company stock profit shares bank",
    "technology": "software computer internet phone science",
    "world": "government president minister war country",
}

_STOP_WORDS = """
a about above after again all also am an and any are as at be because been before being below
between both but by can could did do does doing down during each few for from further had has have
having he her here hers him his how i if in into is it its itself just me more most my no nor not
now of off on once only or other our ours out over own same she should since so some such than that
the their theirs them then there these they this those through to too under until up us very was we
were what when where which while who whom why will with would you your yours please
"""
#: Words that mean nothing by themselves.
STOP_WORDS = frozenset(_STOP_WORDS.split())

_SUFFIXES = """
ations ation ating ated ates ator ities ments ings ness ment able ate ions ing ies ity ion ers ed es
er al ly e s y
"""
#: The endings that a stem is freed of; the first that fits is cut.
SUFFIXES = tuple(_SUFFIXES.split())

_GENERIC_NAMES = """
is has have had are was mentions mention contains includes requires needs any flag about related
does should
"""
#: Words in the name of a property that do not say what it is about.
GENERIC_NAMES = frozenset(_GENERIC_NAMES.split())

#: Names of properties that hold a text of some sentences.
LONG_NAMES = frozenset({"summary", "abstract", "overview", "gist", "tldr"})
#: Names of properties that hold one sentence.
SHORT_NAMES = frozenset({"title", "headline", "subject", "heading"})
#: Names of lists that hold sentences and not keywords.
SENTENCE_LISTS = frozenset(
    {"points", "highlights", "sentences", "steps", "facts", "findings", "changes"}
)
#: The labels that are chosen where no label is spoken of.
CATCH_ALL = frozenset({"other", "others", "unknown", "none", "misc", "general", "neutral"})
