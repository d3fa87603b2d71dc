# Handy commands for gdb on a ringside guest: (gdb) source gdbinit/ringside.gdb

set remotetimeout 10
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

define rs-kaslr
  python
import re
found = re.search(r"offset (0x[0-9a-f]+)", gdb.execute("monitor kaslr", to_string=True))
files = [one.filename for one in gdb.objfiles() if one.filename and not one.filename.startswith("system-supplied")]
if not found:
    raise gdb.GdbError("the kernel is not in its place yet, or is not known")
if not files:
    raise gdb.GdbError("no symbol file: give gdb the kernel's vmlinux first")
gdb.execute("symbol-file -o %s %s" % (found.group(1), files[0]))
  end
end
document rs-kaslr
Moves the kernel's symbols to where the kernel runs. gdb asks for that by itself when it attaches, but not in
non-stop mode, and not when the kernel moves itself later.
end

python
import glob
import lzma
import os
import re
import tempfile


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
RsModules()
RsComm()
end
