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


RsModules()
RsComm()
end
