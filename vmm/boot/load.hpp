// Kernel, initrd and command line into guest RAM: the one entry of vmm/boot.
//
//   load_images(spec)         files -> BootImages   reads and unpacks; nothing of it is needed a second time
//   place(images, spec, ram)  BootImages -> RAM     also for a reset of the machine (clear the RAM before)
//
// Thread: any one; place() only while no vCPU runs.  Image files are hostile: each size is checked against
// the file and against RAM before use, and every error is one sentence that names the file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "arch/result.hpp"
#include "vmm/boot/boot_mode.hpp"
#include "vmm/boot/entry.hpp"
#include "vmm/mem/guest_ram.hpp"

namespace ringside::boot {

struct KaslrPolicy {
  enum class Kind : std::uint8_t {
    kAuto,   // random, unless the command line has `nokaslr` or the image cannot be relocated
    kOff,    // linked addresses; where the kernel unpacks itself `nokaslr` is put on the command line
    kFixed,  // `slide` exactly: an error when the image cannot be relocated by it
  };
  Kind kind = Kind::kAuto;
  std::uint64_t slide = 0;  // kFixed: added to every virtual address, a multiple of kernel_alignment
  std::optional<std::uint64_t> seed;  // kAuto: the same seed gives the same slide and physical address
};

struct BootSpec {
  std::filesystem::path kernel;
  std::optional<std::filesystem::path> initrd;
  std::string cmdline;
  BootMode mode = BootMode::kAuto;
  KaslrPolicy kaslr;
  unsigned vcpus = 1;  // 1..kMaxVcpus (layout.hpp), for the MADT
};

class BootImages {
 public:
  struct Parts;
  explicit BootImages(std::shared_ptr<const Parts> parts) : parts_(std::move(parts)) {}
  const Parts& parts() const { return *parts_; }

 private:
  std::shared_ptr<const Parts> parts_;  // immutable: copies are cheap and may go to another thread
};

Result<BootImages> load_images(const BootSpec& spec);
Result<BootPlan> place(const BootImages& images, const BootSpec& spec, mem::GuestRam& ram);
Result<BootPlan> load(const BootSpec& spec, mem::GuestRam& ram);

}  // namespace ringside::boot
