"""Writes tokenizers of every kind, a mixed corpus, and what PyPI `tokenizers`
makes of it: make_fixtures.py FOLDER.

FOLDER/corpus.bin         documents, each behind its length (uint32)
FOLDER/NAME/tokenizer.json
FOLDER/NAME/expected.bin  a step; for each step-th document of the corpus: ids with and without special tokens,
                          the text decoded with and without them
FOLDER/classes.json       the code points of each character class
FOLDER/words.json         the code points that belong to words
FOLDER/normal_forms.bin   a text and its NFC, a text and its NFD
All integers are little-endian uint32; a list is its length, then its items.
"""

import json
import pathlib
import random
import struct
import sys
import sysconfig

import tokenizers as tokenizers_package
import unicode_fixtures
from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

QWEN2 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
GPT4O = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*"
    r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+"
    r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

# The kinds that the whole corpus goes through; the others take a quarter.
MAIN = ("qwen2", "llama3", "gpt2", "llama2", "metaspace_first")

SPACES = [chr(c) for c in (9, 10, 11, 12, 13, 28, 31, 32, 32, 32, 0x85, 0xA0, 0x1680,
          0x180E, 0x2000, 0x2003, 0x200A, 0x200B, 0x2028, 0x2029, 0x202F,
          0x205F, 0x2060, 0x3000, 0xFEFF)]  # fmt: skip
MARKS = [chr(c) for c in (*range(0x300, 0x345), 0x345, 0x483, 0x591, 0x5BF, 0x64B,
         0x93C, 0x94D, 0xE38, 0xE48, 0x302A, 0x3099, 0x1D165, 0x20D0)]  # fmt: skip
EMOJI = ["👩‍👩‍👧‍👦", "🏳️‍🌈", "🇩🇪", "🇯🇵🇫🇷", "👍🏽", "❤️", "🧑🏿‍🚀", "😀", "1️⃣", "©️"]
WORDS = ["naïve", "Straße", "ﬁn", "ſ", "'ſ", "'S", "'LL", "K", "İstanbul", "Ǆ",
         "한국어", "한국어", "日本語のテキスト", "中文分词测试", "العربية", "עברית",
         "हिन्दी", "ไทย", "ქართული", "Ελληνικά", "Русский", "ʻokina", "ᾳ̈́", "Å", "Å",
         "١٢٣", "१२३", "৪৫", "²³", "Ⅷ", "½", "𝟘𝟙", "𠀀𠀁", "a\u0300\u0316b",
         "▁", "▁▁x", "<0x41>", "\x00", "\x07\x1b[0m", "\ufffd", "0123456789",
         "don't", "WE'RE", "it’s", "x" * 70]  # fmt: skip
ADDED = ["<|a|>", "<|a|>b", "<|lstrip|>", "<|rstrip|>", "<|both|>", "word", "two words",
         "Ünï", "Ü", "<s>", "</s>", "<unk>", *(f"F{i:02}" for i in range(32))]  # fmt: skip


def code_points(rng, count, last):
    picked = []
    while len(picked) < count:
        c = rng.randint(0, last)
        if not 0xD800 <= c <= 0xDFFF:
            picked.append(chr(c))
    return "".join(picked)


def mixed(rng, size):
    """Text in which every kind borders on every other."""
    parts = []
    for _ in range(size):
        kind = rng.randrange(12)
        if kind < 3:
            parts.append(rng.choice(WORDS))
        elif 3 < kind < 6:
            parts.append(rng.choice(SPACES) * rng.choice((1, 1, 1, 2, 3, 9)))
        elif kind == 6:
            parts.append(rng.choice(EMOJI))
        elif kind == 7:
            parts.append("".join(rng.choices(MARKS, k=rng.randint(1, 6))))
        elif kind in (3, 8):
            parts.append(rng.choice(ADDED))
        elif kind == 9:
            last = rng.choice((0x7F, 0x2FF, 0x3000, 0xFFFF, 0x1FFFF, 0x10FFFF))
            parts.append(code_points(rng, rng.randint(1, 5), last))
        elif kind == 10:
            parts.append(str(rng.randrange(10 ** rng.randint(1, 12))))
        else:
            parts.append(rng.choice("!?.,;:-_()[]{}<>|/\\\"'`~@#$%^&*+="))
    return "".join(parts)


def broken(rng, text):
    """UTF-8 with bytes lost, changed, doubled and cut."""
    data = bytearray(text.encode())
    for _ in range(max(1, len(data) // 40)):
        at = rng.randrange(len(data))
        kind = rng.randrange(4)
        if kind == 0:
            del data[at]
        elif kind == 1:
            data[at] = rng.randrange(256)
        elif kind == 2:
            data[at:at] = rng.choice(
                (b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\xaf", b"\xe2\x82",
                 b"\xf0\x9f\x98", b"\xff\xfe", b"\x80", b"\xe0\x80\x80")
            )  # fmt: skip
        else:
            data[at : at + 1] = data[at : at + 1] * 2
    return bytes(data)


def corpus():
    rng = random.Random(1)
    documents = [b"", b" ", b"\n", b"a", "▁".encode(), b"\xff", b"<s>", b"  <s>  x"]
    library = pathlib.Path(sysconfig.get_paths()["stdlib"])
    size = 0
    for path in sorted(library.glob("*.py")):
        if size < 700_000:
            documents.append(path.read_bytes()[:20_000])
            size += len(documents[-1])
    every = [chr(c) for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]
    for first in range(0, 0x32000, 0x200):
        documents.append("".join(every[first : first + 0x200]).encode())
    for _ in range(350):
        documents.append(mixed(rng, rng.choice((3, 10, 40, 400))).encode())
    for _ in range(250):
        documents.append(broken(rng, mixed(rng, rng.choice((3, 40, 300)))))
    documents += [b"\n" * 300, b" " * 301, b"ab" * 500, ("é" * 200).encode()]
    return documents


def added_tokens():
    """Some that overlap, and F00 to F31 with every combination of flags."""
    flags = ("special", "normalized", "single_word", "lstrip", "rstrip")
    return [
        AddedToken("<|a|>", special=True, normalized=False),
        AddedToken("<|a|>b", normalized=False),
        AddedToken("<|lstrip|>", special=True, normalized=False, lstrip=True),
        AddedToken("<|rstrip|>", normalized=False, rstrip=True),
        AddedToken("<|both|>", special=True, normalized=True, lstrip=True, rstrip=True),
        AddedToken("word", normalized=False, single_word=True),
        AddedToken("two words", normalized=True, single_word=True, lstrip=True),
        AddedToken("Ü", normalized=True),
        AddedToken("Ünï", normalized=True, rstrip=True),
    ] + [
        AddedToken(f"F{i:02}", **{f: bool(i >> k & 1) for k, f in enumerate(flags)})
        for i in range(32)
    ]


def train(tokenizer, documents, **options):
    trainer = trainers.BpeTrainer(show_progress=False, **options)
    texts = [d.decode(errors="replace") for d in documents[::3]]
    tokenizer.train_from_iterator(texts, trainer)


def byte_level(name, documents, splits, normalizer=None, **model):
    tokenizer = Tokenizer(models.BPE(**model))
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = (
        pre_tokenizers.Sequence(splits) if len(splits) > 1 else splits[0]
    )
    tokenizer.decoder = decoders.ByteLevel()
    train(
        tokenizer,
        documents,
        vocab_size=3000,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<|endoftext|>"],
    )
    for token in added_tokens():
        (tokenizer.add_special_tokens if token.special else tokenizer.add_tokens)([token])
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    if name == "llama3":
        tokenizer.post_processor = processors.Sequence(
            [
                processors.ByteLevel(trim_offsets=True),
                processors.TemplateProcessing(
                    single="<|a|> $A", pair="<|a|> $A <|a|> $B:1",
                    special_tokens=[("<|a|>", tokenizer.token_to_id("<|a|>"))],
                ),
            ]
        )  # fmt: skip
    return tokenizer


def sentence_piece(documents, normalizer, pre_tokenizer, decoder, known_bytes=256, fuse=True):
    """Vocabulary and merges as a SentencePiece BPE model converted has them."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["<unk>", "<s>", "</s>"]
    special += [f"<0x{b:02X}>" for b in range(known_bytes)]
    train(tokenizer, documents, vocab_size=3000, special_tokens=special,
          limit_alphabet=600)  # fmt: skip
    state = json.loads(tokenizer.to_str())
    state["model"]["byte_fallback"] = known_bytes > 0
    state["model"]["fuse_unk"] = fuse
    state["pre_tokenizer"] = None
    state["added_tokens"] = [
        t for t in state["added_tokens"] if not t["content"].startswith("<0x")
    ]
    tokenizer = Tokenizer.from_str(json.dumps(state))
    if normalizer:
        tokenizer.normalizer = normalizer
    if pre_tokenizer:
        tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoder
    for token in added_tokens():
        (tokenizer.add_special_tokens if token.special else tokenizer.add_tokens)([token])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A <s> $B:1",
        special_tokens=[("<s>", 1), ("</s>", 2)],
    )  # fmt: skip
    return tokenizer


def tokenizers(documents):
    byte = pre_tokenizers.ByteLevel
    plain = byte(add_prefix_space=False, use_regex=False)

    def split(pattern, behavior="isolated", invert=False):
        return pre_tokenizers.Split(Regex(pattern), behavior, invert)

    yield "qwen2", byte_level(
        "qwen2", documents, [split(QWEN2), plain], normalizers.NFC())
    yield "llama3", byte_level(
        "llama3", documents, [split(LLAMA3), plain], ignore_merges=True)
    yield "gpt2", byte_level("gpt2", documents, [byte(add_prefix_space=False)])
    yield "gpt2_prefix", byte_level(
        "gpt2_prefix", documents, [byte(add_prefix_space=True)], normalizers.NFD())
    yield "gpt4o", byte_level("gpt4o", documents, [split(GPT4O), plain])
    yield "digits", byte_level(
        "digits", documents,
        [pre_tokenizers.Digits(individual_digits=True),
         split(r"[\r\n]", "merged_with_previous"),
         split(r"\p{P}|\p{S}", "merged_with_next"),
         split(r"\p{Z}", "contiguous"), byte(add_prefix_space=False)])
    yield "words", byte_level(
        "words", documents,
        [pre_tokenizers.Whitespace(), pre_tokenizers.Digits(),
         split(r"\p{Ll}+"), plain])
    yield "removed", byte_level(
        "removed", documents,
        [pre_tokenizers.WhitespaceSplit(), split(r"\p{L}+|\d+", "removed", True),
         pre_tokenizers.Split("th", "removed"), plain])

    replace = normalizers.Replace(" ", "▁")
    llama2 = normalizers.Sequence([normalizers.Prepend("▁"), replace])
    fused = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
         decoders.Strip(" ", 1, 0)])
    yield "llama2", sentence_piece(documents, llama2, None, fused)
    yield "llama2_unknown", sentence_piece(
        documents, llama2, None, fused, known_bytes=0)
    # Some bytes only: others become <unk>, and those wait for a known character.
    for scheme, split_words, known_bytes, fuse in (
        ("first", False, 256, True),
        ("always", True, 0, False),
        ("never", True, 128, True),
    ):
        yield f"metaspace_{scheme}", sentence_piece(
            documents, None,
            pre_tokenizers.Metaspace("▁", prepend_scheme=scheme, split=split_words),
            decoders.Sequence(
                [decoders.ByteFallback(),
                 decoders.Metaspace("▁", prepend_scheme=scheme)]),
            known_bytes, fuse)  # fmt: skip
    yield "gemma", sentence_piece(
        documents, replace, pre_tokenizers.Split(" ", "merged_with_previous"),
        decoders.Sequence(
            [decoders.Replace("▁", " "), decoders.ByteFallback(),
             decoders.Fuse()]))  # fmt: skip


def put(out, items):
    out += struct.pack(f"<{len(items) + 1}I", len(items), *items)


def put_text(out, text):
    data = text.encode()
    out += struct.pack("<I", len(data)) + data


def expected(tokenizer, documents, step):
    out = bytearray(struct.pack("<I", step))
    for document in documents[::step]:
        text = document.decode(errors="replace")
        special = tokenizer.encode(text).ids
        plain = tokenizer.encode(text, add_special_tokens=False).ids
        put(out, special)
        put(out, plain)
        put_text(out, tokenizer.decode(special, skip_special_tokens=True))
        put_text(out, tokenizer.decode(special, skip_special_tokens=False))
    # Ids in any order, the unknown ones among them.
    rng = random.Random(2)
    limit = tokenizer.get_vocab_size() + 5
    for _ in range(200):
        ids = [rng.randrange(limit) for _ in range(rng.randint(1, 40))]
        if rng.random() < 0.5:
            ids = [min(i, 3 + i % 256) for i in ids]
        put(out, ids)
        put_text(out, tokenizer.decode(ids, skip_special_tokens=True))
        put_text(out, tokenizer.decode(ids, skip_special_tokens=False))
    return bytes(out)


def main(folder):
    # What makes the fixtures what they are; the same again is not made again.
    sources = [pathlib.Path(m.__file__).read_text() for m in (unicode_fixtures, sys.modules[__name__])]
    origin = "\n".join([tokenizers_package.__version__, sys.version, *sources])
    stamp = folder / "stamp"
    if stamp.exists() and stamp.read_text() == origin:
        return
    folder.mkdir(parents=True, exist_ok=True)
    stamp.unlink(missing_ok=True)
    documents = corpus()
    packed = bytearray()
    for document in documents:
        packed += struct.pack("<I", len(document)) + document
    (folder / "corpus.bin").write_bytes(packed)
    (folder / "classes.json").write_text(json.dumps(unicode_fixtures.classes()))
    (folder / "words.json").write_text(json.dumps(unicode_fixtures.words()))
    forms = bytearray()
    for text in unicode_fixtures.normal_forms():
        put_text(forms, text)
    (folder / "normal_forms.bin").write_bytes(forms)
    for name, tokenizer in tokenizers(documents):
        (folder / name).mkdir(exist_ok=True)
        tokenizer.save(str(folder / name / "tokenizer.json"))
        (folder / name / "expected.bin").write_bytes(
            expected(tokenizer, documents, 1 if name in MAIN else 4)
        )
    stamp.write_text(origin)
    print(f"{len(documents)} documents, {len(packed)} bytes")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
