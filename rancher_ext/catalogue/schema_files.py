"""How do editors know the YAML formats? JSON Schema, written from the models: `python -m rancher_ext.catalogue.schema_files`."""

import json
from pathlib import Path

from rancher_ext.catalogue.shipped import shipped_config_dir
from rancher_ext.catalogue.signatures import signature_json_schema


def schema_texts() -> dict[str, str]:
    """File name and content of every schema that ships in `config/schema/`."""
    return {"signature.json": json.dumps(signature_json_schema(), indent=2) + "\n"}


def write_schemas(folder: Path) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, text in schema_texts().items():
        path = folder / name
        path.write_text(text, encoding="utf-8")
        written.append(path)
    return written


if __name__ == "__main__":
    for path in write_schemas(shipped_config_dir() / "schema"):
        print(path)
