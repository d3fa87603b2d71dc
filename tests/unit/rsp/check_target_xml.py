"""Each variant of the target description parses, declares its types and holds the sets gdb demands."""
import itertools
import subprocess
import sys
import xml.etree.ElementTree as ET

PREDEFINED = {"int", "int8", "int16", "int32", "int64", "int128", "uint8", "uint16", "uint32", "uint64", "uint128",
              "code_ptr", "data_ptr", "ieee_single", "ieee_double", "i387_ext"}


def numbered(pattern, first, last):
    return [pattern % n for n in range(first, last + 1)]


# gdb 13, i386_validate_tdesc_p: what each feature must hold.
REQUIRED = {
    "org.gnu.gdb.i386.core": "rax rbx rcx rdx rsi rdi rbp rsp rip eflags cs ss ds es fs gs".split()
    + numbered("r%d", 8, 15) + numbered("st%d", 0, 7) + "fctrl fstat ftag fiseg fioff foseg fooff fop".split(),
    "org.gnu.gdb.i386.sse": numbered("xmm%d", 0, 15) + ["mxcsr"],
    "org.gnu.gdb.i386.segments": ["fs_base", "gs_base"],
    "org.gnu.gdb.i386.linux": ["orig_rax"],
    "org.gnu.gdb.i386.pkeys": ["pkru"],
    "org.gnu.gdb.i386.avx": numbered("ymm%dh", 0, 15),
    "org.gnu.gdb.i386.avx512": numbered("k%d", 0, 7) + numbered("zmm%dh", 0, 31) + numbered("xmm%d", 16, 31)
    + numbered("ymm%dh", 16, 31),
}


def check_feature(feature):
    declared = set(PREDEFINED)
    for child in feature:
        if child.tag == "reg":
            assert child.get("type") in declared, (child.get("name"), child.get("type"))
            continue
        for field in child:
            assert field.get("type") is None or field.get("type") in declared, field.attrib
        assert child.get("type") is None or child.get("type") in declared, child.attrib
        declared.add(child.get("id"))
    names = {reg.get("name") for reg in feature.iter("reg")}
    required = REQUIRED.get(feature.get("name"))
    assert required is None or names == set(required), feature.get("name")


def check(text, avx, avx512, pkru, linux):
    target = ET.fromstring(text)
    features = {feature.get("name"): feature for feature in target.iter("feature")}
    assert ("org.gnu.gdb.i386.avx" in features) == avx
    assert ("org.gnu.gdb.i386.avx512" in features) == (avx and avx512)
    assert ("org.gnu.gdb.i386.pkeys" in features) == pkru
    assert ("org.gnu.gdb.i386.linux" in features) == linux
    for feature in features.values():
        check_feature(feature)
    registers = [(int(reg.get("regnum")), reg.get("name")) for reg in target.iter("reg")]
    assert registers == sorted(registers) and len(set(name for _, name in registers)) == len(registers)
    return dict((name, number) for number, name in registers)


variants = [check(subprocess.run([sys.argv[1], *map(str, map(int, bits))], check=True, capture_output=True).stdout,
                  *bits) for bits in itertools.product([False, True], repeat=4)]
everything = variants[-1]
for variant in variants:
    assert all(everything[name] == number for name, number in variant.items()), "a number moved"
print("checked", len(variants), "variants,", len(everything), "registers")
