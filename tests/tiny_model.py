"""Writes a language model of half a megabyte that knows nothing: `python tiny_model.py PATH`.

It runs with the Python that has `gguf` and numpy. The weights are random, with a seed; the words are the 256
bytes, and what it likes to say most are small letters. The form is that of GGUF (ggml, `docs/gguf.md`).
"""

import sys

import gguf
import numpy as np

_LAYERS, _WIDTH, _HEADS, _HIDDEN, _CONTEXT = 2, 64, 4, 128, 512
_BEFORE_BYTES = 3
_TEMPLATE = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}assistant:"


def write(path: str) -> None:
    """A model of the architecture `llama` at *path*."""
    random = np.random.default_rng(6)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(_CONTEXT)
    writer.add_embedding_length(_WIDTH)
    writer.add_block_count(_LAYERS)
    writer.add_feed_forward_length(_HIDDEN)
    writer.add_head_count(_HEADS)
    writer.add_head_count_kv(_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(_WIDTH // _HEADS)

    words = [b"<unk>", b"<s>", b"</s>", *(b"<0x%02X>" % byte for byte in range(256))]
    kinds = [gguf.TokenType.UNKNOWN, *[gguf.TokenType.CONTROL] * 2, *[gguf.TokenType.BYTE] * 256]
    writer.add_tokenizer_model("llama")
    writer.add_token_list(words)
    writer.add_token_scores([0.0] * len(words))
    writer.add_token_types(kinds)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_chat_template(_TEMPLATE)

    def tensor(name: str, *shape: int) -> None:
        writer.add_tensor(name, random.normal(0, 0.1, shape).astype(np.float32))

    def norm(name: str) -> None:
        writer.add_tensor(name, np.ones(_WIDTH, np.float32))

    tensor("token_embd.weight", len(words), _WIDTH)
    output = np.zeros((len(words), _WIDTH), np.float32)
    for letter in range(ord("a"), ord("z") + 1):
        output[letter + _BEFORE_BYTES] = random.normal(0, 1, _WIDTH)
    writer.add_tensor("output.weight", output)
    norm("output_norm.weight")
    for layer in range(_LAYERS):
        at = f"blk.{layer}"
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            tensor(f"{at}.{name}.weight", _WIDTH, _WIDTH)
        tensor(f"{at}.ffn_gate.weight", _HIDDEN, _WIDTH)
        tensor(f"{at}.ffn_up.weight", _HIDDEN, _WIDTH)
        tensor(f"{at}.ffn_down.weight", _WIDTH, _HIDDEN)
        norm(f"{at}.attn_norm.weight")
        norm(f"{at}.ffn_norm.weight")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    write(sys.argv[1])
