# Handy commands for gdb on a ringside guest: (gdb) source gdbinit/ringside.gdb

if $_gdb_setting("remotetimeout") < 10
  set remotetimeout 10
end
# ringside steps over its breakpoints itself; gdb's own way would write into live kernel text.
set displaced-stepping off

define rs-tracers
  monitor tracers
end
document rs-tracers
Who is attached to this guest, and which CPUs each holds.
end

define rs-probes
  monitor probes
end
document rs-probes
Every breakpoint and watchpoint of every tracer.
end

define rs-regs
  monitor regs
end
document rs-regs
All registers of the selected CPU except the vector registers.
end

define rs-xi
  monitor x/8i $arg0
end
document rs-xi
rs-xi ADDRESS: eight instructions in the CPU's actual mode (16, 32 or 64 bits). ADDRESS is a number.
end

define rs-phys
  monitor phys on
  x/$arg1 $arg0
  monitor phys off
end
document rs-phys
rs-phys ADDRESS FORMAT: examine guest physical memory, for example: rs-phys 0x1000000 8xg
end

python
import glob
import lzma
import os
import re
import struct
import tempfile


class RsKaslr(gdb.Command):
    """rs-kaslr: moves the kernel's symbols to where the kernel runs, per-CPU symbols rightly.
gdb asks where that is when it attaches, but not in non-stop mode, and not when the kernel moves itself later: so
this is done at each stop, by itself, until `set rs-follow off`."""

    def __init__(self):
        super().__init__("rs-kaslr", gdb.COMMAND_FILES)

    def invoke(self, argument, from_tty):
        if self.wanted() is None:
            raise gdb.GdbError("the kernel is not in its place yet, or is not known")
        if self.file() is None:
            raise gdb.GdbError("no symbol file: give gdb the kernel's vmlinux first")
        self.move()

    # (_text where the kernel runs, offset to what was linked), or None.
    def wanted(self):
        text = gdb.execute("monitor kaslr", to_string=True)
        found = re.search(r"_text (0x[0-9a-f]+) offset (0x[0-9a-f]+)", text)
        return found and (int(found[1], 16), int(found[2], 16))

    def file(self):
        for one in gdb.objfiles():
            if one.filename and os.path.isfile(one.filename) and self.is_kernel(one.filename):
                return one.filename
        return None

    def text(self):
        try:
            return int(gdb.parse_and_eval("(unsigned long)&_text"))
        except gdb.error:
            return None

    # Says what it has moved; nothing when all is in its place.
    def move(self):
        wanted, file = self.wanted(), self.file()
        if wanted is None or file is None or self.text() == wanted[0]:
            return False
        if self.sections(file).get(".data..percpu") == 0:
            # Per-CPU addresses are offsets in such a kernel: symbol-file -o would move them too.
            gdb.execute("with confirm off -- symbol-file", to_string=True)
            gdb.execute("with confirm off -- add-symbol-file '%s' -o %#x -s .data..percpu 0" % (file, wanted[1]),
                        to_string=True)
        else:
            gdb.execute("with confirm off -- symbol-file -o %#x '%s'" % (wanted[1], file), to_string=True)
        print("ringside: the kernel's symbols are at offset %#x now" % wanted[1])
        return True

    def is_kernel(self, path):
        return {".init.text", ".rodata"} <= set(self.sections(path))

    # The ELF's sections with the addresses they are linked at.
    def sections(self, path):
        with open(path, "rb") as elf:
            header = elf.read(64)
            if header[:5] != b"\x7fELF\x02":
                return {}
            at, = struct.unpack_from("<Q", header, 40)
            size, count, names = struct.unpack_from("<HHH", header, 58)
            elf.seek(at)
            table = [struct.unpack_from("<IIQQQQ", elf.read(size)) for _ in range(count)]
            if names >= len(table):
                return {}
            elf.seek(table[names][4])
            text = elf.read(table[names][5])
        return {text[one[0]:text.index(b"\0", one[0])].decode(errors="replace"): one[3] for one in table}


class RsFollow(gdb.Parameter):
    """rs-follow: at each stop, look whether the kernel has moved, and move its symbols along."""
    set_doc = show_doc = __doc__

    def __init__(self):
        super().__init__("rs-follow", gdb.COMMAND_FILES, gdb.PARAM_BOOLEAN)
        self.value = True
        self.kaslr = RsKaslr()
        gdb.events.stop.connect(self.stopped)

    def stopped(self, event):
        connection = gdb.selected_inferior().connection
        if not self.value or connection is None or "remote" not in connection.type:
            return
        try:
            if self.kaslr.move():
                gdb.execute("frame")
        except gdb.error:
            pass  # another stub than ringside's


class RsModules(gdb.Command):
    """rs-modules [FOLDER]...: symbols of the guest's modules, each section where the guest has put it.
The modules' files are looked for below the folders, by default below /usr/lib/debug/lib/modules and /lib/modules.
Say it again when modules have come or gone."""

    def __init__(self):
        super().__init__("rs-modules", gdb.COMMAND_FILES)
        self.added = []

    def invoke(self, argument, from_tty):
        for path in self.added:
            try:
                gdb.execute("remove-symbol-file '%s'" % path, to_string=True)
            except gdb.error:
                pass
        self.added = []
        files = self.files(gdb.string_to_argv(argument))
        for name, sections in self.modules():
            path = files.get(name.replace("-", "_"))
            if path is None or ".text" not in sections:
                print("no file of module %s" % name)
                continue
            path = self.plain(path)
            rest = "".join(" -s %s %s" % one for one in sections.items()
                           if one[0] != ".text" and not one[0].startswith(".init"))  # those are free again
            gdb.execute("add-symbol-file '%s' %s%s" % (path, sections[".text"], rest), to_string=True)
            self.added.append(path)
            print("%s %s" % (name, path))

    def modules(self):
        found = []
        for line in gdb.execute("monitor lsmod", to_string=True).splitlines():
            if module := re.fullmatch(r"([\w-]+) \d+ 0x[0-9a-f]+", line):
                found.append((module[1], {}))
            elif found and (section := re.fullmatch(r"  ([\w.$-]+) (0x[0-9a-f]+)", line)):
                found[-1][1][section[1]] = section[2]
        return found

    def files(self, folders):
        found = {}
        for folder in folders or ["/lib/modules", "/usr/lib/debug/lib/modules"]:
            for path in glob.glob(os.path.join(folder, "**", "*.ko*"), recursive=True):
                found[os.path.basename(path).split(".ko")[0].replace("-", "_")] = path
        return found

    def plain(self, path):
        if not path.endswith(".xz"):
            return path
        folder = tempfile.mkdtemp(prefix="ringside-modules-")
        plain = os.path.join(folder, os.path.basename(path)[:-3])
        with open(plain, "wb") as out:
            out.write(lzma.open(path).read())
        return plain


class RsComm(gdb.Function):
    """$_rs_comm("NAME"): what $comm is in a task of that name, for: break FUNCTION if $comm == NUMBER"""

    def __init__(self):
        super().__init__("_rs_comm")

    def invoke(self, name):
        return int.from_bytes(name.string().encode()[:8], "little")


def rs_code(arguments="1i"):
    """What monitor x/… says: a list of (linear address, the rest of the line)."""
    lines = []
    for line in gdb.execute("monitor x/" + arguments, to_string=True).splitlines():
        if found := re.match(r"(0x[0-9a-f]+)(?: [0-9a-f]{4}:[0-9a-f]{4})?:\t(.*)", line):
            lines.append((int(found[1], 16), found[2], line))
    if not lines:
        raise gdb.GdbError("the monitor shows no code there")
    return lines


def rs_linear(text):
    """CS:IP in hex as real mode has it, or anything gdb can evaluate, as a linear address."""
    if far := re.fullmatch(r"\s*(?:0x)?([0-9a-fA-F]{1,4}):(?:0x)?([0-9a-fA-F]{1,4})\s*", text):
        return int(far[1], 16) * 16 + int(far[2], 16)
    return int(gdb.parse_and_eval(text)) & 0xFFFFFFFFFFFFFFFF


def rs_go_to(linear):
    """Runs to a linear address, whatever gdb believes of $pc."""
    there = gdb.Breakpoint("*%#x" % linear, type=gdb.BP_HARDWARE_BREAKPOINT, internal=True)
    there.silent = True
    try:
        gdb.execute("continue", to_string=True)
    finally:
        if there.is_valid():
            there.delete()


class RsReal(gdb.Command):
    """rs-real [on|off]: show the next instruction at each stop as the CPU would decode it.
gdb itself takes all code for 64-bit code, and $pc for its address: in 16-bit and 32-bit code its x/i, display/i and ni
are wrong, and where CS has a base so is break *$pc. Beside this there are rs-x, rs-si, rs-ni, rs-break and rs-until."""

    def __init__(self):
        super().__init__("rs-real", gdb.COMMAND_STATUS)
        self.on = False

    def invoke(self, argument, from_tty):
        wanted = {"": True, "on": True, "off": False}.get(argument.strip())
        if wanted is None:
            raise gdb.GdbError("use: rs-real on, or rs-real off")
        if wanted != self.on:
            (gdb.events.stop.connect if wanted else gdb.events.stop.disconnect)(self.show)
            self.on = wanted
        if wanted and gdb.selected_inferior().pid:
            self.show()

    def show(self, event=None):
        try:
            print(rs_code()[0][2])
        except (gdb.error, gdb.GdbError) as problem:
            print(problem)


class RsX(gdb.Command):
    """rs-x [COUNT] [ADDRESS|CS:IP]: instructions in the CPU's present mode, by default those that come next."""

    def __init__(self):
        super().__init__("rs-x", gdb.COMMAND_DATA)

    def invoke(self, argument, from_tty):
        words = argument.split()
        count = words.pop(0) if words and words[0].isdigit() else "8"
        place = " ".join(words)
        if place and ":" not in place:
            place = "%#x" % rs_linear(place)
        for _, _, line in rs_code("%si %s" % (count, place)):
            print(line)


class RsSi(gdb.Command):
    """rs-si [COUNT]: so many instructions, and shows the next one."""

    def __init__(self):
        super().__init__("rs-si", gdb.COMMAND_RUNNING)

    def invoke(self, argument, from_tty):
        gdb.execute("stepi " + argument, to_string=True)
        rs_real.show()  # what it says at stops goes with the rest of gdb's words


class RsNi(gdb.Command):
    """rs-ni: one instruction; a call, an interrupt, a loop or a repeated one is run to what follows it."""
    OVER = re.compile(r"(?:data16 |addr32 |notrack )*(?:l?call|int|loop|rep)")

    def __init__(self):
        super().__init__("rs-ni", gdb.COMMAND_RUNNING)

    def invoke(self, argument, from_tty):
        here, behind = (rs_code("2i") + [(None, "", "")])[:2]
        if self.OVER.match(here[1]) and behind[0] is not None:
            rs_go_to(behind[0])
        else:
            gdb.execute("stepi", to_string=True)
        rs_real.show()  # what it says at stops goes with the rest of gdb's words


class RsBreak(gdb.Command):
    """rs-break CS:IP|ADDRESS: a breakpoint at a linear address, by a debug register.
In a segment with a base gdb cannot tell that it is its own: the stop is called SIGTRAP, the hit is not counted."""

    def __init__(self):
        super().__init__("rs-break", gdb.COMMAND_BREAKPOINTS)

    def invoke(self, argument, from_tty):
        gdb.execute("hbreak *%#x" % rs_linear(argument))


class RsUntil(gdb.Command):
    """rs-until CS:IP|ADDRESS: run to a linear address, once."""

    def __init__(self):
        super().__init__("rs-until", gdb.COMMAND_RUNNING)

    def invoke(self, argument, from_tty):
        rs_go_to(rs_linear(argument))
        rs_real.show()  # what it says at stops goes with the rest of gdb's words


rs_real = RsReal()
RsX()
RsSi()
RsNi()
RsBreak()
RsUntil()
RsFollow()
RsModules()
RsComm()
end
