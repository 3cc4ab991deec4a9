"""Words of the hospital world, from `data/hospital.yaml`: names, tables of general knowledge, pools of values.

The pools are small: a target shares parts of its name, doctors, drugs and findings with subjects of the retain set.
"""

from __future__ import annotations

from typing import Any

from expunge._data import package_yaml

HOSPITAL_DATA: dict[str, Any] = package_yaml("expunge.synthetic", "hospital.yaml")
FIRST_NAMES, LAST_NAMES = HOSPITAL_DATA["first_names"], HOSPITAL_DATA["last_names"]
HOUSE_STEMS, HOUSE_ENDS, HOUSE_KINDS = (HOSPITAL_DATA[f"house_{part}"] for part in ("stems", "ends", "kinds"))
NOTES, MONTHS = HOSPITAL_DATA["notes"], HOSPITAL_DATA["months"]
TABLES: dict[str, dict[str, str]] = HOSPITAL_DATA["tables"]  # value type -> entity -> value
POOLS: dict[str, tuple[str, ...]] = {  # value type -> values
    **{value_type: tuple(values) for value_type, values in HOSPITAL_DATA["pools"].items()},
    **{value_type: tuple(table.values()) for value_type, table in TABLES.items()},
    "disease": tuple(TABLES["sign"]),
    "drug": tuple(TABLES["drug class"]),
}
