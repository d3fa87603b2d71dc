#include "tests/unit/disasm/kernel_text.hpp"

#include <cstdlib>
#include <sstream>
#include <string_view>

#include <elf.h>

#include "vmm/boot/bzimage.hpp"
#include "vmm/boot/file.hpp"
#include "vmm/boot/payload.hpp"

namespace ringside::test {
namespace {

constexpr std::uint64_t kLargestFile = std::uint64_t{1} << 30;

// The structure at `offset`, or zeros where the file has ended.
template <typename T>
T at(ByteView file, std::uint64_t offset) {
  if (offset > file.size() || sizeof(T) > file.size() - offset) return T{};
  return load<T>(file.data() + offset);
}

Result<Bytes> section(ByteView elf, std::string_view name) {
  const auto header = at<Elf64_Ehdr>(elf, 0);
  const auto nth = [&](std::uint64_t n) {
    return at<Elf64_Shdr>(elf, header.e_shoff + n * sizeof(Elf64_Shdr));
  };
  const std::uint64_t names = nth(header.e_shstrndx).sh_offset;
  for (std::uint64_t i = 0; i < header.e_shnum; ++i) {
    const Elf64_Shdr one = nth(i);
    const std::uint64_t name_at = names + one.sh_name;
    if (name_at > elf.size() || name.size() >= elf.size() - name_at) continue;
    if (load<char>(elf.data() + name_at + name.size()) != '\0') continue;
    if (std::string_view(reinterpret_cast<const char*>(elf.data()) + name_at, name.size()) != name) continue;
    if (one.sh_offset > elf.size() || one.sh_size > elf.size() - one.sh_offset) break;
    const ByteView bytes = elf.subspan(one.sh_offset, one.sh_size);
    return Bytes(bytes.begin(), bytes.end());
  }
  return fail(Errc::kNotFound, "no section of that name");
}

}  // namespace

std::vector<std::string> test_kernels() {
  const char* list = std::getenv("RINGSIDE_TEST_KERNELS");
  std::vector<std::string> found;
  std::istringstream names(list == nullptr ? "" : list);
  for (std::string name; std::getline(names, name, ':');) found.push_back(name);
  return found;
}

Result<Bytes> kernel_text(const std::string& bzimage) {
  const Bytes file = RS_TRY(boot::read_file("kernel", bzimage, kLargestFile));
  const boot::BzImage image = RS_TRY(boot::parse_bzimage(file));
  const boot::HostBytes unpacked = RS_TRY(boot::unpack(image.payload));
  return section(unpacked.view(), ".text");
}

}  // namespace ringside::test
