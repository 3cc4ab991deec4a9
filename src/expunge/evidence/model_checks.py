"""Is the model in use the one that was certified: its files, its precision, and the base under an adapter?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from expunge.errors import InputError
from expunge.evidence.certificate_schema import CertificatePredicate
from expunge.evidence.manifest import make_manifest, manifest_problems
from expunge.evidence.run_evidence import dtype_of, quantization
from expunge.evidence.statement import Statement
from expunge.evidence.verification_report import VerificationReport
from expunge.models.fingerprint import model_digest, result_folder
from expunge.models.run_file import RUN, read_run_file
from expunge.models.source import base_of_run, whole_run


def check_model(
    report: VerificationReport,
    statement: Statement,
    predicate: CertificatePredicate,
    model: Path | None,
    remembered: bool = False,
) -> None:
    """Add the lines about the model in `model`: a model folder, or a run with it."""
    if model is None:
        report.skip("model", "give --model, the folder in use")
        return
    run = Path(whole_run(model)).expanduser()
    folder = result_folder(run) if (run / RUN).is_file() else model
    if not folder.is_dir():
        raise InputError(str(model), "there is no such model folder", "give the folder of the model in use")
    recorded = {subject.name: subject.digest.sha256 for subject in statement.subject}
    report.check(
        "model",
        f"files in use, {len(recorded)} in number, are those of the certificate",
        lambda: manifest_problems(recorded, make_manifest(folder, remembered)),
    )
    report.check("precision", predicate.artifacts.dtype, lambda: _precision(predicate, folder))
    if predicate.artifacts.form == "adapter":
        _check_base(report, predicate, run, remembered)


def _precision(predicate: CertificatePredicate, folder: Path) -> Iterator[str]:
    recorded = predicate.artifacts
    if (kind := quantization(folder)) != recorded.quantization:
        yield f"the quantization of the weights is {kind}, and {recorded.quantization} stands in the certificate"
    dtype = dtype_of(folder, {})
    if dtype not in ("unknown", recorded.dtype):
        yield f"the precision is {dtype}, and {recorded.dtype} stands in the certificate"


def _check_base(report: VerificationReport, predicate: CertificatePredicate, run: Path, remembered: bool) -> None:
    if not (run / RUN).is_file():
        report.skip("base", "the files are an adapter; give its run as --model to check the base model too")
    elif not Path(base_of_run(run, read_run_file(run))).exists():
        report.skip("base", "the base model of the adapter is not here")
    else:
        text = "the base model under the adapter is the one that was audited"
        report.check("base", text, lambda: _base(predicate, run, remembered))


def _base(predicate: CertificatePredicate, run: Path, remembered: bool) -> Iterator[str]:
    if model_digest(str(run), fresh=not remembered) != predicate.artifacts.after:
        yield "adapter and base model together are not the model that was audited"
