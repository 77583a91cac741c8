"""Makes a tiny model whose KV is as wide as a large one's: `python wide_model.py FOLDER LAYERS`, 8 KiB a token a layer.

Memory is then nearly all KV, and computing it is cheap. A process of its own: it imports mlx. Called by test_memory.py.
"""

import sys
from pathlib import Path

from runner.engine.tiny import make_tiny

if __name__ == "__main__":
    shape = {"num_attention_heads": 8, "num_key_value_heads": 8, "head_dim": 128, "tie_word_embeddings": False}
    make_tiny(Path(sys.argv[1]), 2.0, num_hidden_layers=int(sys.argv[2]), **shape)
