// Whatever a kernel file contains, the loader answers with an image or with an error.
#include <cstdint>

#include "vmm/boot/bzimage.hpp"
#include "vmm/boot/elf.hpp"
#include "vmm/boot/payload.hpp"
#include "vmm/boot/real_mode.hpp"
#include "vmm/boot/relocate.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ringside;
  static mem::GuestRam ram = std::move(mem::GuestRam::create(mem::kMinRam)).value();
  const auto image = boot::parse_bzimage({data, size});
  if (!image) return 0;
  (void)boot::prepare_real_mode(ram, *image,
                                {.cmdline = "quiet",
                                 .limits = {image->cmdline_size, image->initrd_addr_max},
                                 .initrd = {},
                                 .code32 = image->pref_address});
  const auto unpacked = boot::unpack(image->payload);
  if (!unpacked) return 0;
  const auto elf = boot::parse_elf(unpacked->view());
  if (elf) (void)boot::parse_relocations(unpacked->view().subspan(elf->file_end));
  return 0;
}
