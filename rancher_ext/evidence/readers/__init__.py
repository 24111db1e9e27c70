"""What does a bundle say, whoever made it? One reader per form of evidence; `read_facts` asks them all."""

from rancher_ext.evidence.readers.facts import read_facts

__all__ = ["read_facts"]
