// A small kernel with bytes of its memory changed: recognised, and asked for everything.
//
// Input: changes, each of 3 bytes for where, 1 for how many, and the bytes.  With 0xff first the rest is a
// BTF section.
#include <array>
#include <cstdint>

#include "stub/guestos/btf.hpp"
#include "stub/guestos/symbol_elf.hpp"
#include "tests/unit/guestos/small_kernel.hpp"

namespace {

using namespace ringside;
using namespace ringside::guestos;

void walk(const Kernel& kernel, Gva task, const VirtualMemory& memory) {
  std::array<StackFrame, 64> frames;
  std::array<char, 256> names;
  const auto from = kernel.sleeping_stack(task, memory);
  if (!from) return;
  const StackWalk walk = kernel.walk_stack(*from, memory, frames);
  for (std::size_t i = 0; i < walk.frames; ++i) (void)kernel.place(frames[i].ip, memory, names);
}

void ask(const Kernel& kernel, const VirtualMemory& memory) {
  std::array<char, 256> text;
  (void)kernel.tasks(memory);
  (void)kernel.modules(memory);
  (void)kernel.kernel_log(memory);
  walk(kernel, test::SmallKernel::kText + 0x41000, memory);
  (void)kernel.place(Gva{0xffffffffc0000010}, memory, text);
  (void)kernel.nearest(test::SmallKernel::kText + 0x123);
  (void)make_symbol_elf(kernel);
  const auto base = kernel.per_cpu(0, memory);
  const auto task = base ? kernel.current_task(*base, memory) : std::nullopt;
  if (!task) return;
  (void)kernel.task_ids(*task, memory);
  (void)kernel.parent(*task, memory);
  (void)kernel.working_directory(*task, memory, text);
  for (int fd = 0; fd < 8; ++fd) (void)kernel.fd_path(*task, fd, memory, text);
}

void change(test::SmallKernel& guest, ByteView how) {
  Bytes& bytes = guest.memory().bytes();
  while (how.size() >= 4) {
    std::size_t at = how[0] | std::size_t{how[1]} << 8 | std::size_t{how[2]} << 16;
    std::size_t count = how[3] % 16;
    how = how.subspan(4);
    for (; count > 0 && !how.empty(); --count, ++at, how = how.subspan(1)) bytes[at % bytes.size()] = how[0];
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 0 && data[0] == 0xff) {
    const auto btf = Btf::parse(Bytes(data + 1, data + size));
    if (btf) (void)btf->member("task_struct", "a.b");
    return 0;
  }
  static test::SmallKernel untouched;
  static const bool laid_out = untouched.kernel().has_value();
  if (!laid_out) __builtin_trap();
  test::SmallKernel guest = untouched;
  change(guest, {data, size});
  if (const auto kernel = recognise(guest.memory(), test::SmallKernel::kText)) ask(**kernel, guest.memory());
  return 0;
}
