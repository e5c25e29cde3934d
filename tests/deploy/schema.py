"""JSON Schemas from the tables in `schemas/`: as the Kubernetes API server judges, but unknown fields are errors."""

import json
from pathlib import Path

SCHEMAS = Path(__file__).parent / "schemas"
TOP = {"ConfigMap", "Secret", "PersistentVolumeClaim", "NetworkPolicy"}


def schema_of(kind):
    """The schema of a whole manifest of this kind."""
    types = {
        **json.loads((SCHEMAS / "kubernetes.json").read_text()),
        **json.loads((SCHEMAS / "kuberay.json").read_text()),
    }
    root = f"V1{kind}" if kind in TOP else kind
    return {"$ref": f"#/$defs/{root}", "$defs": {name: _object(fields, types) for name, fields in types.items()}}


def _object(fields, types):
    return {
        "type": "object",
        "properties": {name.rstrip("!"): _value(told, types) for name, told in fields.items()},
        "required": [name.rstrip("!") for name in fields if name.endswith("!")],
        "additionalProperties": False,
    }


def _value(told, types):
    if told.startswith("["):
        return {"type": "array", "items": _value(told[1:-1], types)}
    if told.startswith("{"):
        return {"type": "object", "additionalProperties": _value(told[1:-1], types)}
    if told in types:
        return {"$ref": f"#/$defs/{told}"}
    kind, _, options = told.partition(":")
    return {} if kind == "any" else {"type": kind, **({"enum": options.split("|")} if options else {})}
