"""The two operations of SemanIR: building the key-semantic dictionary, attending to the keys it keeps."""

from semanir.ops.attention import key_semantic_attention
from semanir.ops.dictionary import key_semantic_dictionary

__all__ = ["key_semantic_attention", "key_semantic_dictionary"]
