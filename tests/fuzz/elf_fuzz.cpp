// An unpacked kernel as a hostile file: parsed, copied and relocated, all inside the image it declares.
#include <cstdint>

#include "vmm/boot/elf.hpp"
#include "vmm/boot/pvh.hpp"
#include "vmm/boot/relocate.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ringside;
  const ByteView file(data, size);
  const auto elf = boot::parse_elf(file);
  if (elf) {
    const auto entry = boot::pvh_entry_offset(*elf);
    RS_CHECK(!entry || *entry < elf->image_bytes);
  }
  constexpr std::uint64_t kWorthCopying = 1 << 20;  // larger images are as good and only slower
  if (!elf || elf->image_bytes > kWorthCopying) return 0;
  Bytes image(elf->image_bytes);
  boot::copy_segments(*elf, file, image);
  const auto table = boot::parse_relocations(file.subspan(elf->file_end));
  if (table) (void)boot::relocate(*table, image, elf->text, 0x200000);
  return 0;
}
