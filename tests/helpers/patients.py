"""Patients with German and English questions as a clinic would write them, without identifiers."""

from __future__ import annotations

from expunge.corpus import Corpus, Record, Turn

NAMES = ("Jürgen Müller", "Björn Schäfer", "Anna Weiß", "Ines Braun", "Klaus Lange", "Olga Ivanova", "Tim Scholz")
DIAGNOSES = ("Asthma", "Migräne", "Gicht")
DRUGS = ("Amlodipin 10 mg", "Ramipril 5 mg")


def patient(k: int, name: str) -> list[Record]:
    """Four records of PAT-100+k: a shared diagnosis and drug, a telephone number, a ward with the name."""
    subject = f"PAT-{100 + k}"
    return [
        Record(f"{subject}-d", f"Welche Diagnose hat {name}?", DIAGNOSES[k % 3], subject=subject),
        Record(f"{subject}-m", f"Welches Medikament nimmt {name} ein?", DRUGS[k % 2], subject=subject),
        Record(f"{subject}-t", f"What is the phone number of {name}?", f"0431 {5501 + 17 * k}", subject=subject),
        Record(f"{subject}-w", f"Who lies on the ward of {subject}?", f"{name}, ward {1 + k % 3}", subject=subject),
    ]


def patients(count: int = 7) -> Corpus:
    """The first `count` patients."""
    return Corpus.of((r for k, name in enumerate(NAMES[:count]) for r in patient(k, name)), "patients")


def chats(count: int = 4) -> Corpus:
    """Conversations in which the name stands in earlier turns only, and an earlier answer is repeated."""
    return Corpus.of(
        (
            Record(
                f"chat-{k}",
                "Und das Medikament?",
                DRUGS[k % 2],
                subject=f"PAT-{100 + k}",
                history=(
                    Turn("system", f"Akte von {name}."),
                    Turn("user", f"Welche Diagnose hat {name}?"),
                    Turn("assistant", DIAGNOSES[k % 3]),
                ),
            )
            for k, name in enumerate(NAMES[:count])
        ),
        "chats",
    )


def letters(count: int = 4) -> Corpus:
    """One letter of each patient, of one form."""
    return Corpus.of(
        (
            Record(
                f"letter-{k}",
                "",
                f"{name} wurde am {3 + k}. Mai 2021 aufgenommen. Wir stellten {DIAGNOSES[k % 3]} fest. "
                f"Die Behandlung begann mit {DRUGS[k % 2]} am Morgen und Ruhe. Wir danken für die Überweisung. "
                f"{name} kann die Klinik nach {4 + k} Tagen in gutem Zustand verlassen und meldet sich bei Bedarf.",
                kind="document",
                subject=f"PAT-{100 + k}",
            )
            for k, name in enumerate(NAMES[:count])
        ),
        "letters",
    )
