"""The knowledge that ships as files: signatures, their samples, labelled cases. Loading, checking, applying."""

from rancher_ext.catalogue.analyze import analyze, diagnose_bundle
from rancher_ext.catalogue.cases import score_cases
from rancher_ext.catalogue.samples import Sample, SampleResult, find_samples, run_sample, run_samples
from rancher_ext.catalogue.shipped import shipped_config_dir
from rancher_ext.catalogue.signatures import (
    LoadedSignature,
    known_signatures,
    lint,
    load_signatures,
    signature_json_schema,
)

__all__ = [
    "LoadedSignature",
    "Sample",
    "SampleResult",
    "analyze",
    "diagnose_bundle",
    "find_samples",
    "known_signatures",
    "lint",
    "load_signatures",
    "run_sample",
    "run_samples",
    "score_cases",
    "shipped_config_dir",
    "signature_json_schema",
]
