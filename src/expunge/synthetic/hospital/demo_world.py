"""The hospital of the demo, and who asks to be forgotten there."""

from __future__ import annotations

from expunge.synthetic.hospital.hospital import Hospital


def demo_world(preset: str = "demo", seed: int = 42) -> tuple[Hospital, str]:
    """A hospital with matched controls of its target, and the target: the third patient of the first institution."""
    plain = Hospital.preset(preset, seed=seed)
    target = f"patient:P-{[slot.stem for slot in plain.slots() if slot.institution == 0][2]}"
    return Hospital.preset(preset, seed=seed, controls_for=(target,)), target
