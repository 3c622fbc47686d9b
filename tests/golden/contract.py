"""The schema of every command's JSON, as a validator."""

import json
import pathlib

import jsonschema

FILE = pathlib.Path(__file__).parents[2] / "docs" / "cli.schema.json"
contract = jsonschema.Draft202012Validator(json.loads(FILE.read_text()))
