"""Given and family names for people who do not exist, where a corpus itself has too few.

Common names of several languages, written for this package; a name may by chance be somebody's.
"""

from __future__ import annotations


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


FEMALE = _names(
    """Alina Amelie Anja Anna Astrid Aylin Beate Birgit Carla Charlotte Clara Claudia Daniela Derya Dilara Elena Elif
    Elisabeth Emily Emma Esra Eva Fatma Franziska Grace Greta Hannah Heike Helena Ines Irina Isabel Jana Joanna Johanna
    Julia Karin Katharina Laura Lea Leyla Lina Lucía Magdalena Maria Marie Martina Mia Nadia Natalia Nina Olga Olivia
    Petra Renate Sabine Sarah Selin Silke Sofia Sophie Susanne Svenja Tanja Theresa Ursula Vanessa Yasmin Zeynep"""
)
MALE = _names(
    """Adam Ahmet Alexander Ali Andreas Anton Arthur Benjamin Bernd Björn Can Carlos Christian Daniel David Dieter Dirk
    Emre Erik Felix Florian Frank Georg Hans Heinrich Henry Holger Jakob James Jan Jens Johannes Jonas Jörg Josef Julian
    Jürgen Karl Kemal Klaus Lars Leon Lukas Manfred Marco Mark Markus Martin Matthias Mehmet Michael Murat Niklas Oliver
    Oskar Paul Peter Philipp Rainer Robert Sebastian Sergej Simon Stefan Thomas Timo Tobias Uwe Viktor Werner Wolfgang
    Yusuf"""
)
FAMILY = _names(
    """Adler Albrecht Arslan Aydın Bauer Baker Becker Berger Bergmann Böhm Brandt Braun Brown Busch Çelik Clark Costa
    Davies Demir Dietrich Doğan Engel Fischer Foster Frank Friedrich Fuchs García Graf Graham Groß Haas Hahn Hartmann
    Heinrich Herrmann Hoffmann Horn Huber Hughes Ivanov Jansen Jones Jung Kaiser Kaya Keller Kılıç Klein Koch Köhler
    König Kowalski Kraus Krüger Kuhn Lang Larsen Lehmann Lewis Lindner López Ludwig Maier Martin Mayer Meyer Möller
    Morris Müller Neumann Novak Otto Öztürk Pfeiffer Pohl Popescu Richter Roberts Roth Sauer Schäfer Schmidt Schneider
    Scholz Schreiber Schulz Schuster Schwarz Seidel Şahin Simon Sommer Stein Taylor Thomas Turner Vogel Vogt Wagner
    Walker Walter Weber Weiß Werner Winter Wolf Wright Yıldız Yılmaz Ziegler Zimmermann"""
)
GIVEN = frozenset(FEMALE) | frozenset(MALE)
TITLES = frozenset(
    _names("dr prof professor herr herrn frau fräulein mr mrs ms miss sir dame med dipl ing phd md patient patientin")
)
PARTICLES = frozenset(_names("von van vom zu zur zum de der den del della di da dos du la le al el bin ibn ter ten af"))
_FAMILY = frozenset(FAMILY)


def is_person(words: tuple[str, ...] | list[str]) -> bool:
    """Does one of these words stand in the lists?"""
    return any(w in GIVEN or w in _FAMILY for w in words)
