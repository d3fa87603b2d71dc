#include "vmm/boot/kaslr.hpp"

#include <cerrno>

#include <sys/random.h>

#include "vmm/mem/layout.hpp"

namespace ringside::boot {
namespace {

constexpr Gva kKernelMap{0xffffffff80000000};       // __START_KERNEL_map
constexpr std::uint64_t kKernelWindow = mem::kGiB;  // KERNEL_IMAGE_SIZE with CONFIG_RANDOMIZE_BASE

}  // namespace

Result<KaslrRandom> KaslrRandom::create(std::optional<std::uint64_t> seed) {
  if (seed) return KaslrRandom(*seed);
  std::uint64_t state = 0;
  if (::getrandom(&state, sizeof state, 0) != sizeof state) return fail_errno("getrandom", errno);
  return KaslrRandom(state);
}

std::uint64_t KaslrRandom::below(std::uint64_t limit) {
  state_ += 0x9e3779b97f4a7c15;
  std::uint64_t mixed = state_;
  mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9;
  mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
  mixed ^= mixed >> 31;
  return limit == 0 ? 0 : mixed % limit;
}

bool has_word(std::string_view cmdline, std::string_view word) {
  while (!cmdline.empty()) {
    const std::size_t end = cmdline.find_first_of(" \t\n");
    const std::string_view found = cmdline.substr(0, end);
    if (found == word) return true;
    if (found == "--" || end == std::string_view::npos) return false;
    cmdline.remove_prefix(end + 1);
  }
  return false;
}

std::uint64_t slide_slots(Gva text, std::uint64_t image_bytes, std::uint64_t alignment) {
  if (text < kKernelMap) return 0;
  const std::uint64_t offset = text - kKernelMap;
  if (offset > kKernelWindow || image_bytes > kKernelWindow - offset) return 0;
  return (kKernelWindow - offset - image_bytes) / alignment + 1;
}

std::uint64_t placement_slots(Gpa begin, Gpa end, std::uint64_t bytes, std::uint64_t alignment) {
  if (end < begin || bytes > end - begin) return 0;
  return (end - begin - bytes) / alignment + 1;
}

}  // namespace ringside::boot
