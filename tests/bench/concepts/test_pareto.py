"""The rows that no other beats, and a picture of them."""

from __future__ import annotations

from typing import Any

from expunge.bench.concepts.pareto import draw, front


def test_the_front_holds_who_is_nearer_or_keeps_more() -> None:
    """b is beaten by a (nearer and keeps more), d by c (as near, keeps more); equals stay both."""
    points = {"a": (0.4, 0.97), "b": (0.5, 0.96), "c": (0.9, 0.99), "d": (0.9, 0.98), "e": (0.9, 0.99)}
    assert front(points) == ["a", "c", "e"]
    assert front({}) == []


def test_the_picture_names_the_front_and_what_lies_outside() -> None:
    def row(far: float | None, kept: float) -> dict[str, dict[str, float | None]]:
        return {"a house": {"distance_to_retrained": far, "retention": kept}}

    found: dict[str, Any] = {
        "domains": {"a house": {}},
        "by_domain": {
            "original": row(3.5, 1.0),
            "retrained": row(0.0, 1.0),
            "retrained-2": row(0.2, 0.99),
            "near": row(0.4, 0.97),
            "beaten": row(0.6, 0.96),
            "ruined": row(3.1, 0.2),
            "failed": row(None, 0.0),
        },
    }
    found["cells"] = {name: {"a house": {"1": of["a house"], "2": {}}} for name, of in found["by_domain"].items()}
    picture = draw(found)
    assert picture.count("<svg") == 1
    assert all(f">{name}<" in picture for name in ("near", "ruined", "retrained-2", "a house"))
    assert ">beaten<" not in picture
    assert picture == draw(found)
