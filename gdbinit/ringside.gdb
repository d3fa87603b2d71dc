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
