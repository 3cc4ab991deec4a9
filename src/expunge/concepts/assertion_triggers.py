"""The words that `context.py` listens for, in four groups: negation, family, history, possibility.

Each group is one pattern; at one place the trigger that stands first in its list wins, so what undoes a trigger stands
before it. Spaces match any white space, `|` separates phrases, the rest is a regular expression without groups of its
own. Surprising: bare "no" reaches to the end of its clause but not past "for": there is "no cure for" a disease.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Trigger:
    """Phrases with one effect.

    says    `negated`, `family`, `history`, `hypothetical`; "" undoes the other triggers of its group
    before  the trigger stands before the mentions; else behind them
    words   most words between trigger and mention; 0: any
    many    behind them: all mentions of the clause, not only the nearest
    narrow  further words that end the reach
    """

    phrases: str
    says: str
    before: bool = True
    words: int = 0
    many: bool = False
    narrow: re.Pattern[str] | None = None


def _compile(triggers: Sequence[Trigger]) -> tuple[re.Pattern[str], tuple[Trigger, ...]]:
    parts = (r"(" + t.phrases.strip().replace(" ", r"\s+") + r")" for t in triggers)
    return re.compile(r"(?<![\w-])(?:" + "|".join(parts) + r")(?![\w])", re.I), tuple(triggers)


_NOT = r"(?:not|never|cannot|can't|couldn't|isn't|wasn't|hasn't)"
_BE = r"(?:is|was|has been|had been)"
_ARE = r"(?:are|were|have been)"
_GONE = r"(?:ruled out|excluded|absent|negative|denied|unlikely|not (?:seen|present|found|detected|identified|evident))"
_KIN = (
    r"(?:mother|father|mom|mum|dad|brother|sister|sibling|parent|grandmother|grandfather|grandparent|aunt|uncle|"
    r"cousin|nephew|niece|son|daughter|wife|husband|relative|family member)s?"
)
_ITS = r"(?:his|her|their|the|a|an|my|your|our|one|both|patient's)"
BREAKS = re.compile(
    r"\b(?:but|however|nevertheless|although|though|yet|except|apart\s+from|aside\s+from|other\s+than|whereas|"
    r"instead)\b"
    r"|(?:,|\b(?:and|then|now)\b)\s*(?:then\s+|now\s+)?(?:(?:he|she|they|it|we|i|you|(?:the\s+)?(?:patient|pt))\s+)?"
    r"(?:also\s+)?(?:has|had|have|is|was|are|were|reports?|reported|complains?|complained|presents?|presented|shows?|"
    r"showed|reveals?|revealed|develops?|developed|admits?|admitted|denies|denied|positive\s+for|needs?|underwent)\b",
    re.I,
)
_CLAUSE = re.compile(r"\b(?:for|from|by|that|because|since|when|while|during|after|before|until|with|on)\b", re.I)

_COMMA = re.compile(",")

NEGATION = (
    Trigger(
        rf"(?:{_NOT}|{_NOT} yet) (?:be|been) (?:ruled out|excluded)|{_BE} {_NOT} (?:ruled out|excluded)"
        rf"|{_NOT} (?:definitely |fully )?(?:ruled out|excluded)",
        "hypothetical",
        before=False,
    ),
    Trigger(rf"(?:do|does|did|can|could|will|would|{_BE}|{_ARE})? ?{_NOT} (?:rule out|exclude)", "hypothetical"),
    Trigger(
        r"no (?:\w+ )?(?:increase|decrease|change|improvement|worsening|progression|difference|relief|response)s?"
        r"|no (?:further|longer|more|doubt|matter|wonder|other)|no (?:need|reason|way|plans?) to|gram[ -]negative"
        r"|not (?:only|just|necessarily|always|all|every|everyone|enough|sure|certain|known|understood|clear|to be"
        r"|cause[ds]?|drain|extend|affect(?:ed)?|until|because|fully|well|completely|treated|take|use)"
        r"|without (?:further|any further|difficulty|treatment|surgery|complications?|delay)|negative effects?",
        "",
    ),
    Trigger(rf"{_ARE} (?:now |all )?{_GONE}", "negated", before=False, words=6, many=True),
    Trigger(rf"(?:{_BE} |{_ARE} )?unlikely (?:to be|to have|to represent|that)", "negated"),
    Trigger(
        rf"{_BE} (?:now )?{_GONE}|not (?:seen|present|found|detected|identified)|unlikely",
        "negated",
        before=False,
        words=6,
    ),
    Trigger(
        r"(?<=:)\s*(?:none|no|negative|absent|denied|denies)(?=\s*(?:[.;,\n]|$))", "negated", before=False, words=6
    ),
    Trigger(
        r"no (?:\w+ )?(?:evidence|signs?|symptoms?|history|suggestion|indication|suspicion|findings?|features?"
        r"|record|complaints?|signs? or symptoms?|signs? and symptoms?) (?:of|for|to suggest|suggestive of"
        r"|suggesting|consistent with)",
        "negated",
        narrow=_CLAUSE,
    ),
    Trigger(
        r"den(?:y|ies|ied|ying)(?: any| having)?|negative for|free (?:of|from)|ruled out|rul(?:es|ing) out"
        r"|exclud(?:es|ed|ing)|never (?:had|developed|reported)|fail(?:s|ed) to (?:show|reveal|demonstrate)"
        r"|unremarkable for|no longer ha[sd]|is clear of",
        "negated",
    ),
    Trigger(
        r"(?:in the )?absence of|absent|lack(?:s|ed|ing)?(?: of)?|without(?: any)?(?: (?:evidence|signs?|symptoms?"
        r"|history) (?:of|for))?|neither|nor|none of",
        "negated",
        narrow=_CLAUSE,
    ),
    Trigger(r"no(?: known| acute| significant| obvious| definite| apparent)?", "negated", narrow=_CLAUSE),
    Trigger(r"(?:\w+n't|not|cannot)", "negated", words=5, narrow=_CLAUSE),
)
FAMILY = (
    Trigger(
        rf"{_KIN} (?:\w+ )?(?:reports?|reported|states?|stated|says?|said|den(?:y|ies|ied)|notes?|noted|brought"
        rf"|called|thinks?|believes?|gives?|gave|noticed|at (?:the )?bedside)|sister chromatids?"
        rf"|daughter (?:cell|chromosome)s?|parent (?:compound|cell|strain|drug)s?"
        rf"|family (?:doctor|physician|medicine)",
        "",
    ),
    Trigger(
        rf"(?:in|of|affecting) {_ITS} (?:\w+ )?{_KIN}"
        rf"|runs? in (?:the|his|her|their|my|your|some) (?:family|families)",
        "family",
        before=False,
        words=3,
        many=True,
    ),
    Trigger(rf"(?:family|familial) (?:medical )?history|{_KIN}", "family"),
)
HISTORY = (
    Trigger(
        r"family (?:medical )?history|familial history|natural history|history (?:of (?:the )?present illness"
        r"|and physical|taking)|prior to|previously (?:well|healthy)|(?:no|without) (?:prior|previous)",
        "",
    ),
    Trigger(
        r"(?:\w+ )?(?:years?|months?|weeks?|decades?) ago|in the past|as a child|in childhood|in (?:19|20)\d\d",
        "history",
        before=False,
        words=4,
    ),
    Trigger(r"previous(?:ly)?|prior|former(?:ly)?|status post|s/p|remote", "history", words=5),
    Trigger(
        r"(?:past |personal |prior |previous )?(?:medical |surgical |psychiatric )?(?:history|hx)(?: significant"
        r"| notable| positive)?(?: of| for|:)|h/o|pmh(?: of|:)?|psh(?: of|:)?",
        "history",
    ),
)
POSSIBILITY = (
    Trigger(
        r"(?:as|even|what) if|if (?:any|so|needed|necessary|possible|not)|as (?:soon|much|far|well) as possible", ""
    ),
    Trigger(
        r"(?:is|are|was|were|remains?) (?:suspected|possible|probable|likely|a possibility|in question)",
        "hypothetical",
        before=False,
        words=3,
    ),
    Trigger(
        r"if|unless|whether|in case of|in the event of|rule out|r/o|to exclude|(?:evaluat\w+|assess\w*|screen\w*"
        r"|test(?:s|ed|ing)?|check(?:s|ed|ing)?|watch\w*|concern\w*|work-?up|look(?:s|ing)?|return) for"
        r"|(?:suspicion|risks?|chances?|likelihood|probability|possibility|danger|risk factors?) (?:of|for)"
        r"|question of|differential(?: diagnosis)?|prevent(?:s|ed|ing|ion of)?|should"
        r"|(?:may|might|could) (?:also )?(?:have|be|develop|indicate|represent|suggest|reflect|cause|lead to|get)",
        "hypothetical",
    ),
    Trigger(
        r"possibl[ey]|probabl[ey]|presum(?:ed|ably)|suspect(?:ed|s)?|questionable|likely|perhaps|maybe",
        "hypothetical",
        words=5,
        narrow=_COMMA,
    ),
)
TRIGGERS = tuple(map(_compile, (NEGATION, FAMILY, HISTORY, POSSIBILITY)))
