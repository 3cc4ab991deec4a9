"""The call `dataSubjectBlocking` of SAP Data Privacy Integration (retention), which names one person.

Source: `srv/DPIRetention.cds` of SAP's plug-in https://github.com/cap-js/data-privacy, where the fields and what they
mean are written down. `maxDeletionDate` in the future asks to block a person until then, otherwise to delete; either
ends their use in a model, so both open a request. The date is part of the id and stored nowhere else: retention is
decided for each asset, with its ground. The other calls are refused: questions (`dataSubjectEndOfBusiness` …), those
for one kind of record (`iLMObjectName`), and those that name nobody (`dataSubjectsDestroying`).
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from expunge._config import FrozenModel
from expunge._io import canonical
from expunge.desk.requests import MAX_VALUE
from expunge.web.api_models import Line


def _day(text: str) -> str:
    """The day of a time, which SAP sends in several forms; `ValueError` for another text."""
    return datetime.fromisoformat(text).date().isoformat()


Name = Annotated[Line, Field(min_length=1, max_length=200)]


class SapBlocking(FrozenModel):
    """The body of `dataSubjectBlocking`."""

    applicationName: Name
    dataSubjectRoleName: Name
    dataSubjectId: Annotated[Line, Field(min_length=1, max_length=MAX_VALUE)]
    maxDeletionDate: Annotated[str, Field(max_length=40), AfterValidator(_day)]


FIELDS = tuple(SapBlocking.model_fields)  # an error may name them


def read_sap(raw: Any) -> dict[str, Any]:
    """The data of a submission; `ValidationError` for another call."""
    call = SapBlocking.model_validate(raw)
    digest = hashlib.sha256(canonical(call.model_dump())).hexdigest()
    return {"id": f"sap-{digest}", "identifiers": {"record_number": call.dataSubjectId}}
