"""What PyPI `tokenizers` makes of single code points; see make_fixtures.py."""

from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers


def sampled(c):
    """All that Unicode 16 assigns, and some of what it does not."""
    surrogate = 0xD800 <= c <= 0xDFFF
    return not surrogate and (c < 0x33000 or 0xE0000 <= c < 0xE0200 or c % 0x80 == 0)


SAMPLE = [c for c in range(0x110000) if sampled(c)]


def members(splitter):
    """The code points that a pre-tokenizer removes, as ranges of sampled ones."""
    found = []
    inside = False
    for i in range(0, len(SAMPLE), 8192):
        chunk = SAMPLE[i : i + 8192]
        kept = set()
        for part, _ in splitter.pre_tokenize_str("".join(map(chr, chunk))):
            kept.update(map(ord, part))
        for c in chunk:
            if c in kept:
                inside = False
            elif inside:
                found[-1][1] = c
            else:
                found.append([c, c])
                inside = True
    return found


def words():
    """Which code points end and begin a word, by a token that is a whole one."""
    tokenizer = Tokenizer(models.BPE())
    token = AddedToken("@", single_word=True, normalized=False)
    tokenizer.add_tokens([token])
    every = [c for c in SAMPLE if c < 0x33000 and c != ord("@")]
    after = "".join(f"{chr(c)}@ " for c in every)
    before = "".join(f" @{chr(c)}" for c in every)
    found = []
    for text in (after, before):
        starts = [a for a, _ in tokenizer.encode(text).offsets]
        whole = {every[a // 3] for a in starts}
        found.append([c for c in every if c not in whole])
    assert found[0] == found[1]
    return found[0]


def classes():
    names = ["L", "Lu", "Ll", "Lt", "Lm", "Lo", "M", "N", "Nd", "Nl", "No", "P", "S", "Z"]
    patterns = [r"\p{%s}" % n for n in names] + [r"\s", r"\d", r"\S", r"[^\s\p{L}\p{N}]"]
    patterns += ["(?i:s)", "(?i:k)", "(?i:t|re|ve|m|ll|d)", "."]
    return {p: members(pre_tokenizers.Split(Regex(p), "removed")) for p in patterns}


def normal_forms():
    """What the canonical forms make of each code point, alone and among marks."""
    rows = []
    for c in range(0x110000):
        if 0xD800 <= c <= 0xDFFF or 0xAC20 <= c < 0xD700 or 0x3400 <= c < 0xA000:
            continue
        if 0x17000 <= c < 0x18D00 or 0x20000 <= c < 0x2F800 or c > 0x2FA20 and c % 256:
            continue
        rows.append(f"a{chr(c)}\u0316\u0345{chr(c)}\u0334")
    text = "\n".join(rows)
    for form in (normalizers.NFC(), normalizers.NFD()):
        yield text
        yield form.normalize_str(text)
