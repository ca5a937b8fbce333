#!/usr/bin/env python3
"""Every golden report fits both shipped schemas, and a report with an unknown word or key only the open one."""
import copy
import json
import pathlib
import sys

import jsonschema

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def load(path: pathlib.Path):
    return json.loads(path.read_text(encoding="utf-8"))


def main() -> int:
    schemas = {}
    for kind, name in (("open", "coldcase-report-1.schema.json"), ("closed", "coldcase-report-1.closed.schema.json")):
        schema = load(ROOT / "share" / "coldcase" / name)
        jsonschema.Draft202012Validator.check_schema(schema)
        schemas[kind] = jsonschema.Draft202012Validator(schema)
    reports = sorted((ROOT / "testdata" / "reports").glob("*.json"))
    problems = [] if reports else ["no golden reports"]
    for path in reports:
        report = load(path)
        for kind, schema in schemas.items():
            problems += [f"{path.name} ({kind}): {e.json_path}: {e.message[:200]}" for e in schema.iter_errors(report)]
        word, key = copy.deepcopy(report), copy.deepcopy(report)
        word["verdict"]["kind"] = "new word"
        key["verdict"]["new_key"] = 1
        for changed in (word, key):
            if not schemas["open"].is_valid(changed):
                problems.append(f"{path.name}: the open schema refuses growth")
            if schemas["closed"].is_valid(changed):
                problems.append(f"{path.name}: the closed schema lets an unknown key or word pass")
    print("\n".join(problems) or f"schemas: fine ({len(reports)} reports)")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
