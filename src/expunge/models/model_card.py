"""The model card of an export: what was done, how it was judged, and what that does not mean."""

from __future__ import annotations

from typing import Any

LIMITS = """\
## Limits

* This is approximate unlearning: the weights are not those of a model that never saw the records.
* It concerns the records of one request. The same facts in other records, in other models or in backups stay there.
* The model from before the request still knows them. Where it, an earlier checkpoint, or an adapter with its old base
  is kept or served, nothing was erased.
* What the audit did not try is not excluded. Fine-tuning on related text may bring parts back.
"""
ADAPTER = """\
> **This is an adapter, not erasure.** Its base model still knows what the run forgot; whoever drops the adapter has it
> back. Use the merged form where the old model must not be shipped.
"""


def model_card(facts: dict[str, Any], hub_base: str | None = None) -> str:
    """Markdown with a YAML head for the hub.

    Args:
        facts: the content of expunge.json.
        hub_base: id of the base model on the hub; a local path is not told.
    """
    run = facts.get("run")
    head = ["---", "library_name: " + ("peft" if facts["as"] == "adapter" else "transformers")]
    head += [f"base_model: {hub_base}"] if hub_base else []
    head += ["tags:", "- expunge", *(["- machine-unlearning"] if run else []), "---"]
    if not run:
        return "\n".join([*head, "", "# Converted model", "", f"Written by expunge in {facts['dtype']}.", ""])
    title = "# Adapter after unlearning" if facts["as"] == "adapter" else "# Model after unlearning"
    parts = ["\n".join(head), title]
    if facts["as"] == "adapter":
        parts.append(ADAPTER.rstrip())
    parts += ["## What was done", _table(_done(facts, run)), _audit(facts.get("audit")), LIMITS.rstrip(), _use(facts)]
    return "\n\n".join(parts) + "\n"


def _done(facts: dict[str, Any], run: dict[str, Any]) -> dict[str, Any]:
    records = run.get("records", {})
    edited, verified = run.get("edited"), facts.get("verified")
    said = {"stranger": "answers as of somebody unknown, which may be false", "refuse": "refuses"}
    return {
        "Method": run.get("method"),
        "Records to forget": records.get("forget"),
        "Records retained": records.get("retain"),
        "Steps": None if edited else run.get("steps"),
        "Neurons edited": edited["neurons"] if edited else None,
        "Asked about the forgotten subject, it": said.get(str(run.get("say"))),
        "Share of the weights of the chosen blocks that could change": run.get("trainable_share"),
        "Run made": run.get("created"),
        "Exported": f"{facts['created']} in {facts['dtype']}",
        "Compared with the run": f"largest difference of a logit {verified['difference']:g}" if verified else None,
        "Scope (digest)": facts.get("scope_digest"),
        "Recipe (digest)": run.get("recipe_digest"),
        "Base model (digest)": facts.get("base_digest"),
        "Run (digest)": run.get("digest"),
        "Weights (digest)": facts.get("weights_digest"),
    }


def _table(rows: dict[str, Any]) -> str:
    shown = [f"| {name} | {value} |" for name, value in rows.items() if value is not None]
    return "\n".join(["| | |", "|---|---|", *shown])


def _audit(audit: dict[str, Any] | None) -> str:
    if not audit:
        return "## Audit\n\nNo audit was given at the export. Whether the records are forgotten is not shown here."
    rows = {
        "Verdict": audit["verdict"],
        "Policy": audit["policy"],
        "Assurance level": audit.get("assurance"),
        "Audit made": audit.get("created") or None,
        "audit.json (digest)": audit["digest"],
    }
    missing = audit.get("not_tested")
    tail = f"\n\nNot tested: {'; '.join(missing)}." if missing else ""
    return f"## Audit\n\n{audit['sentence']}\n\n{_table(rows)}{tail}"


def _use(facts: dict[str, Any]) -> str:
    if facts["as"] == "adapter":
        return (
            "## Use\n\n```python\nfrom peft import AutoPeftModelForCausalLM\n\n"
            'model = AutoPeftModelForCausalLM.from_pretrained("this folder")\n```'
        )
    return (
        "## Use\n\n```python\nfrom transformers import pipeline\n\n"
        'generate = pipeline("text-generation", model="this folder")\n```'
    )
