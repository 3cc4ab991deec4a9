"""Invented names of discoverers: first words of the names of concepts, in every domain."""

from __future__ import annotations

from expunge.synthetic.knowledge.domain import listed

RETAINED = listed("""
    Abrenn, Aldrick, Arsel, Barwin, Belcott, Brissel, Caldor, Carrow, Cheldon, Corvane, Dalbyn, Dorrick, Edwyn,
    Elcott, Evrand, Falwen, Farrick, Fenwold, Galdry, Garwin, Gilbeck, Hadrow, Harvane, Helmsey, Ilbert, Ivorn,
    Jarrold, Jeswin, Kelbrook, Kerrow, Larsby, Lindrow, Lowick, Madrell, Merwin, Norrick, Odwell, Orsby, Pelwin,
    Perrott, Quenby, Radwin, Rosdale, Selwick, Strowick, Tarwin, Ulbrick, Varrow
""")
TARGET = listed("""
    Ankaro, Avelino, Bekanov, Birgano, Bodanis, Cassimi, Cordano, Davriko, Delmasi, Domenka, Ekstrom, Emilov,
    Fabrizo, Fjordal, Gambeti, Gorlan, Halden, Havlik, Hoshiro, Istvano, Jankov, Jorissa, Kadleco, Karsavi, Kobari,
    Lazarov, Levanti, Lomaris, Marlow, Mirelli, Moravi, Nadasdo, Nikolan, Okunev, Orlan, Pankrat, Petrosi, Rakoczo,
    Ravello, Rusanov, Salvani, Sokolan, Szabolc, Takemi, Tolvaj, Umezaki, Vasarik, Zelinko
""")
EVERYDAY = listed("""
    almanac, primer, guild, fair, society, journal, museum, course, league, guidebook, pamphlet, handbook
""")
