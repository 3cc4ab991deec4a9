"""Names that the annotator passes over: everyday words that are also somebody's name, drug, gene or catalogue term.

Compared without case and in singular and plural. Surprising: an abbreviation in capitals ("ALL", "AIDS") is not
stopped by its everyday twin; only in a line that is all capitals nothing can be told apart, and it is passed over.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from expunge.corpus.loaders.text_source import lines
from expunge.errors import InputError

_WORDS = """
a about above address affect after again against aid all also am among an and any are art as association at attention
back be because been before being below between both but by can case cases change changes class contract could date
dates day days did do does doing done down drive due during each east either else end even ever every few find first
five for form forms foundation four from full further get give go goal good got had half has have having he hence her
here hers him his hope hour hours how i if in index information into is it its itself just keep kind know large last
late lead leads least less let level like likely line long look low made main maintenance make many may me mean means
method methods might mine minor minute minutes month months more most much must my name names nature near need neither
never new next nine no none nor north not nothing now number numbers of off often old on once one only or order other
others ought our ours out over overall own page paper part parts people perhaps person persons place point problem
problems program put question questions quite rather reading rest result results review role roles round running said
same say see set seven shall she should show side since six small so some soon south still such table take ten terms
test text than that the their theirs them then there these they thing things this those though three through thus time
times to together too toward two type types under until up upon us use used using usual very via was way we week weeks
well were west what when where whether which while who whole whom whose why will with within without word words work
would writing year years yes yet you your yours
"""
STOP: frozenset[str] = frozenset(_WORDS.split())


def read_stop(path: Path) -> frozenset[str]:
    """Names from a UTF-8 text, one per line; blank lines and what follows `#` are left out."""
    if path.is_dir():
        raise InputError(str(path), "is a folder", "give a text file with one name per line")
    found = frozenset(name for _, line in lines(path) if (name := line.partition("#")[0].strip()))
    if not found:
        raise InputError(str(path), "names nothing to leave out", "write one name per line")
    return found


def singular_and_plural(names: Iterable[str]) -> frozenset[tuple[str, ...]]:
    """The folded words of each name, as the annotator compares them."""
    from expunge.concepts.normalize import plurals
    from expunge.concepts.tokenizer import words

    found = set()
    for name in names:
        folded = tuple(words(name).folded)
        if folded:
            found |= {folded} | {(*folded[:-1], last) for last in plurals(folded[-1])}
    return frozenset(found)
