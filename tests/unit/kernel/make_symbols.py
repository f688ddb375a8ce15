#!/usr/bin/env python3
"""Makes up 500 functions as `nm -nC` prints them, and what the table must say: make_symbols.py NM_OUT EXPECTED_OUT."""
import random
import sys

random.seed(500)
plain = ["boot_main", "memcpy", "main", "ringlet::kernel::panic"]
parts = ["ringlet", "kernel", "net", "tcp", "virtio", "Connection", "input", "poll", "Table", "find", "fs", "ext4"]
spelled = [  # as nm prints it, as we want it
    ("ringlet::fs::open(std::basic_string_view<char, std::char_traits<char> >)", "ringlet::fs::open"),
    ("void ringlet::each<int>(int, char const*)", "ringlet::each<int>"),
    ("(anonymous namespace)::helper(int (*)(char)) [clone .isra.0]", "(anonymous)::helper"),
    ("ringlet::Strong<int>::operator<=>(int) const", "ringlet::Strong<int>::operator<=>"),
    ("std::vector<int, std::allocator<int> >::push_back(int&&)", "std::vector::push_back"),
    ("f(int)::{lambda(char)#1}::operator()(char) const", "f::{lambda#1}::operator()"),
    ("operator new(unsigned long, std::nothrow_t const&)", "operator new"),
    ("bool ringlet::operator<(ringlet::A const&, ringlet::A const&)", "ringlet::operator<"),
    ("ringlet::Lock::operator bool() const", "ringlet::Lock::operator bool"),
]
start, at = 0xFFFF0000, 0x40
nm = [f"{start - 16:016x} T before", f"{start:016x} T __text_start", f"{start + at:016x} T __system_text_end"]
expected = []
for i in range(500):
    if i < len(spelled):
        printed, wanted = spelled[i]
    elif i % 17 == 0:
        printed = wanted = f"{random.choice(plain)}_{i}"
    else:
        wanted = "::".join(random.sample(parts, random.randint(1, 5))) + str(i)
        printed = wanted + random.choice(["()", "(int, ringlet::A<int>&)", "(void (*)(char)) const"])
    size = random.choice([1, 7, 16, 100, 127, 128, 129, 1000, 20000 if i % 50 == 0 else 300])
    nm.append(f"{start + at:016x} {random.choice('tTW')} {printed}")
    if i % 9 == 0:
        nm.append(f"{start + at:016x} W alias_{i}")
    expected.append(f"{at:x} {size:x} {wanted}")
    at += size
nm += [f"{start + at:016x} R __text_end", f"{start + at + 32:016x} D data"]
with open(sys.argv[1], "w", encoding="utf-8") as f:
    f.write("\n".join(nm) + "\n")
with open(sys.argv[2], "w", encoding="utf-8") as f:
    f.write("\n".join(expected) + "\n")
