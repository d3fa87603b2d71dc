#include "vmm/boot/load.hpp"

#include <algorithm>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "vmm/boot/acpi.hpp"
#include "vmm/boot/boot_params.hpp"
#include "vmm/boot/bzimage.hpp"
#include "vmm/boot/elf.hpp"
#include "vmm/boot/file.hpp"
#include "vmm/boot/kaslr.hpp"
#include "vmm/boot/long_mode.hpp"
#include "vmm/boot/payload.hpp"
#include "vmm/boot/protected_mode.hpp"
#include "vmm/boot/pvh.hpp"
#include "vmm/boot/real_mode.hpp"
#include "vmm/boot/relocate.hpp"

namespace ringside::boot {

// Views inside point into the Bytes beside them, which never change.
struct BootImages::Parts {
  std::string name;  // of the kernel file, for errors
  Bytes file;
  std::optional<BzImage> bzimage;  // into `file`
  HostBytes unpacked;
  std::optional<ElfImage> elf;  // of vmlinux(); absent when the kernel unpacks itself
  RelocationTable relocations;  // into vmlinux()
  std::string version;
  std::optional<LinkedKernel> linked;
  std::optional<Bytes> initrd;

  ByteView vmlinux() const { return bzimage ? unpacked.view() : ByteView(file); }
};

namespace {

constexpr std::uint64_t kMaxKernelFile = 2 * mem::kGiB;  // a vmlinux with debug information may have 1 GiB
constexpr std::uint64_t kMaxInitrd = 2 * mem::kGiB;      // initrd_addr_max of every kernel
constexpr std::uint64_t kEntry64 = 0x200;                // "load address + 0x200" (boot.rst)

// The parsers say what is wrong ("is truncated: …"); here the sentence gets its subject.
Unexpected<Error> about(std::string_view kernel, const Error& error) {
  return fail(error.code, fmt::format("kernel {} {}", kernel, error.text));
}

// linux_banner, "Linux version 6.1.0 (…) …\n": a vmlinux says its version nowhere else.
std::optional<LinkedKernel> find_banner(const ElfImage& elf, ByteView vmlinux) {
  constexpr std::string_view kBanner = "Linux version ";
  for (const ElfSegment& segment : elf.segments) {
    const ByteView bytes = vmlinux.subspan(segment.offset, segment.file_bytes);
    const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    for (std::size_t at = text.find(kBanner); at != text.npos; at = text.find(kBanner, at + 1)) {
      const std::string_view words = text.substr(at, 256);
      const char digit = words.size() > kBanner.size() ? words[kBanner.size()] : '%';
      if (digit < '0' || digit > '9') continue;  // a format string
      return LinkedKernel{
          .text = elf.text,
          .banner = elf.text + (segment.linked_at - elf.linked_at) + at,
          .words = std::string(words.substr(0, words.find_first_of(std::string_view("\n\0", 2))))};
    }
  }
  return std::nullopt;
}

std::string version_of(const LinkedKernel& kernel) {
  return kernel.words.substr(std::string_view("Linux version ").size());
}

Result<void> read_vmlinux(BootImages::Parts& parts) {
  parts.elf = RS_TRY(parse_elf(parts.vmlinux()));
  parts.linked = find_banner(*parts.elf, parts.vmlinux());
  auto relocations = parse_relocations(parts.vmlinux().subspan(parts.elf->file_end));
  if (relocations) {
    parts.relocations = *relocations;
  } else if (parts.bzimage) {
    return unexpected(relocations.error());
  }  // What follows a plain vmlinux may be anything (a signature): no table, then.
  return {};
}

// The kernel unpacks itself; we look inside only to recognise it later, and can do without.
void find_linked(BootImages::Parts& parts) {
  const auto unpacked = unpack(parts.bzimage->payload);
  if (!unpacked) return;
  if (const auto elf = parse_elf(unpacked->view())) parts.linked = find_banner(*elf, unpacked->view());
}

Result<void> take_apart(BootImages::Parts& parts, BootMode mode) {
  if (looks_like_elf(parts.file)) {
    if (unpacks_itself(mode)) {
      return fail(Errc::kUnsupported,
                  fmt::format("is a vmlinux, which has no decompressor: --boot={} needs a bzImage (auto, elf "
                              "and pvh take a vmlinux)",
                              name_of(mode)));
    }
    RS_TRY(read_vmlinux(parts));
    if (parts.linked) parts.version = version_of(*parts.linked);
    return {};
  }
  parts.bzimage = RS_TRY(parse_bzimage(parts.file));
  parts.version = parts.bzimage->version;
  if (unpacks_itself(mode)) {
    if (mode == BootMode::kReal) RS_TRY(check_setup(*parts.bzimage));
    find_linked(parts);
    return {};
  }
  parts.unpacked = RS_TRY(unpack(parts.bzimage->payload));
  return read_vmlinux(parts);
}

// One placement in progress: what every step needs.
struct Placing {
  const BootImages::Parts& parts;
  const BootSpec& spec;
  mem::GuestRam& ram;
  std::string cmdline;
  LoadLimits limits;

  std::uint64_t alignment() const {
    return parts.bzimage ? std::uint64_t{parts.bzimage->kernel_alignment} : mem::kHugePage;
  }
  std::uint64_t initrd_bytes() const { return parts.initrd ? parts.initrd->size() : 0; }
  // The physical address moves with the virtual one (pvh.hpp).
  bool moves_as_one() const { return spec.mode == BootMode::kPvh; }
};

Unexpected<Error> kernel_does_not_fit(const Placing& p, Gpa at, std::uint64_t bytes) {
  return fail(Errc::kExhausted,
              fmt::format("kernel {} needs {} MiB at {:#x} and does not fit in {} MiB of guest RAM: "
                          "give the guest at least {} MiB",
                          p.parts.name, bytes / mem::kMiB + 1, at.value, p.ram.bytes() / mem::kMiB,
                          (at.value + bytes) / mem::kMiB + 32));
}

struct Position {
  Gpa at;
  std::uint64_t slide = 0;
  KaslrFlag kaslr = KaslrFlag::kClear;
};

Result<Position> fixed_position(const Placing& p, const ElfImage& elf) {
  const std::uint64_t slide = p.spec.kaslr.slide;
  Position position{elf.linked_at, slide, slide == 0 ? KaslrFlag::kClear : KaslrFlag::kSet};
  if (slide == 0) return position;
  if (p.parts.relocations.empty()) {
    return fail(Errc::kUnsupported,
                fmt::format("kernel {} cannot be moved by {:#x}: it has no relocations (give the "
                            "bzImage of a kernel with CONFIG_RANDOMIZE_BASE)",
                            p.parts.name, slide));
  }
  const std::uint64_t slots = slide_slots(elf.text, elf.image_bytes, p.alignment());
  if (slide % p.alignment() != 0 || slide / p.alignment() >= slots) {
    return fail(
        Errc::kRefused,
        fmt::format("kernel {} cannot be moved by {:#x}: a multiple of {:#x} up to {:#x} is "
                    "possible",
                    p.parts.name, slide, p.alignment(), slots == 0 ? 0 : (slots - 1) * p.alignment()));
  }
  if (p.moves_as_one()) position.at = position.at + slide;
  return position;
}

Result<Position> random_position(const Placing& p, const ElfImage& elf) {
  KaslrRandom random = RS_TRY(KaslrRandom::create(p.spec.kaslr.seed));
  const std::uint64_t slides =
      std::max<std::uint64_t>(slide_slots(elf.text, elf.image_bytes, p.alignment()), 1);
  // Where the initrd goes is fixed (as high as possible); the kernel stays below it.
  const std::uint64_t top = std::min(p.ram.low_end().value, std::uint64_t{p.limits.initrd_addr_max} + 1);
  const std::uint64_t initrd = p.initrd_bytes() == 0 ? 0 : p.initrd_bytes() + kPageSize;
  const Gpa end{initrd < top ? top - initrd : 0};
  const std::uint64_t places =
      std::max<std::uint64_t>(placement_slots(elf.linked_at, end, elf.image_bytes, p.alignment()), 1);
  if (p.moves_as_one()) {
    const std::uint64_t slide = random.below(std::min(slides, places)) * p.alignment();
    return Position{elf.linked_at + slide, slide, KaslrFlag::kSet};
  }
  const std::uint64_t slide = random.below(slides) * p.alignment();
  return Position{elf.linked_at + random.below(places) * p.alignment(), slide, KaslrFlag::kSet};
}

Result<Position> choose_position(const Placing& p, const ElfImage& elf) {
  switch (p.spec.kaslr.kind) {
    case KaslrPolicy::Kind::kFixed:
      return fixed_position(p, elf);
    case KaslrPolicy::Kind::kAuto:
      if (!p.parts.relocations.empty() && !has_word(p.spec.cmdline, "nokaslr"))
        return random_position(p, elf);
      break;
    case KaslrPolicy::Kind::kOff:
      break;
  }
  return Position{elf.linked_at};
}

struct Placed {
  Gpa entry;
  Gpa end;
  KaslrFlag kaslr = KaslrFlag::kClear;
};

Result<Placed> place_vmlinux(const Placing& p, const ElfImage& elf, BootPlan& plan) {
  std::uint64_t entry = elf.entry_offset;
  if (p.spec.mode == BootMode::kPvh) {
    const auto pvh = pvh_entry_offset(elf);
    if (!pvh) return about(p.parts.name, pvh.error());
    entry = *pvh;
  }
  const Position position = RS_TRY(choose_position(p, elf));
  auto window = p.ram.window(position.at, elf.image_bytes);
  if (!window) return kernel_does_not_fit(p, position.at, elf.image_bytes);
  copy_segments(elf, p.parts.vmlinux(), *window);
  if (auto moved = relocate(p.parts.relocations, *window, elf.text, position.slide); !moved) {
    return about(p.parts.name, moved.error());
  }
  if (p.spec.mode == BootMode::kPvh) move_pvh_note(elf, *window, position.at + entry);
  plan.kernel = KernelPlacement{position.at, elf.text + position.slide, position.slide, elf.image_bytes};
  plan.build_id = elf.build_id;
  spdlog::debug("boot: _text at {:#x}, physical {:#x}, slide {:#x}", plan.kernel->text.value,
                position.at.value, position.slide);
  return Placed{position.at + entry, position.at + elf.image_bytes, position.kaslr};
}

// The decompressor needs init_size bytes from its load address on: it moves itself to their end and unpacks
// to their begin.
Result<Placed> place_bzimage(const Placing& p, const BzImage& image) {
  const Gpa at = image.pref_address;
  const std::uint64_t bytes = std::max<std::uint64_t>(image.init_size, image.body.size());
  auto window = p.ram.window(at, bytes);
  if (!window || at < mem::kOneMiB) return kernel_does_not_fit(p, at, bytes);
  std::copy(image.body.begin(), image.body.end(), window->begin());
  return Placed{p.spec.mode == BootMode::kEntry64 ? at + kEntry64 : at, at + bytes};
}

Result<std::optional<InitrdRange>> put_initrd(const Placing& p, Gpa kernel_end) {
  if (!p.parts.initrd) return std::optional<InitrdRange>{};
  const InitrdRange range = RS_TRY(place_initrd(p.ram, p.parts.initrd->size(), kernel_end, p.limits));
  if (!p.ram.write(range.begin, *p.parts.initrd))
    return fail(Errc::kNotMapped, "no guest RAM for the initrd");
  return std::optional<InitrdRange>(range);
}

Placing make_placing(const BootImages::Parts& parts, const BootSpec& spec, mem::GuestRam& ram) {
  Placing placing{parts, spec, ram, spec.cmdline, {}};
  if (parts.bzimage) placing.limits = {parts.bzimage->cmdline_size, parts.bzimage->initrd_addr_max};
  if (unpacks_itself(spec.mode) && spec.kaslr.kind == KaslrPolicy::Kind::kOff &&
      !has_word(spec.cmdline, "nokaslr")) {
    placing.cmdline = spec.cmdline.empty() ? "nokaslr" : "nokaslr " + spec.cmdline;
  }
  return placing;
}

// What the first instructions of each way find: tables in RAM and the registers that go with them.
Result<EntryState> hand_over(const Placing& p, const Placed& kernel) {
  const auto initrd = RS_TRY(put_initrd(p, kernel.end));
  const Gpa rsdp = RS_TRY(write_acpi_tables(p.ram, p.spec.vcpus));
  if (p.spec.mode == BootMode::kPvh) {
    return prepare_pvh(
        p.ram,
        {.entry = kernel.entry, .cmdline = p.cmdline, .limits = p.limits, .initrd = initrd, .rsdp = rsdp});
  }
  if (p.spec.mode == BootMode::kReal) {
    return prepare_real_mode(
        p.ram, *p.parts.bzimage,
        {.cmdline = p.cmdline, .limits = p.limits, .initrd = initrd, .code32 = kernel.entry});
  }
  BootParams params;
  if (p.parts.bzimage) params.setup_header = p.parts.bzimage->setup_header;
  params.limits = p.limits;
  params.cmdline = p.cmdline;
  params.initrd = initrd;
  params.rsdp = rsdp;
  params.kaslr = kernel.kaslr;
  RS_TRY(write_boot_params(p.ram, params));
  if (p.spec.mode != BootMode::kEntry32) return prepare_long_mode(p.ram, kernel.entry, mem::kZeroPage);
  EntryState entry = RS_TRY(prepare_protected_mode(p.ram, kernel.entry));
  entry.rsi = mem::kZeroPage.value;
  return entry;
}

}  // namespace

Result<BootImages> load_images(const BootSpec& spec) {
  auto parts = std::make_shared<BootImages::Parts>();
  parts->name = spec.kernel.string();
  parts->file = RS_TRY(read_file("kernel", spec.kernel, kMaxKernelFile));
  if (auto done = take_apart(*parts, spec.mode); !done) return about(parts->name, done.error());
  if (spec.initrd) parts->initrd = RS_TRY(read_file("initrd", *spec.initrd, kMaxInitrd));
  return BootImages(std::move(parts));
}

Result<BootPlan> place(const BootImages& images, const BootSpec& spec, mem::GuestRam& ram) {
  const BootImages::Parts& parts = images.parts();
  const Placing placing = make_placing(parts, spec, ram);
  if (!parts.elf && spec.kaslr.kind == KaslrPolicy::Kind::kFixed) {
    return fail(Errc::kUnsupported,
                fmt::format("a fixed KASLR slide needs --boot=auto, elf or pvh: with --boot={} the kernel's "
                            "own decompressor chooses",
                            name_of(spec.mode)));
  }
  BootPlan plan;
  plan.version = parts.version;
  plan.linked = parts.linked;
  const Placed kernel = parts.elf ? RS_TRY(place_vmlinux(placing, *parts.elf, plan))
                                  : RS_TRY(place_bzimage(placing, *parts.bzimage));
  if (!parts.elf) plan.unpacker = Gpa{parts.bzimage->pref_address};
  plan.entry = RS_TRY(hand_over(placing, kernel));
  return plan;
}

Result<BootPlan> load(const BootSpec& spec, mem::GuestRam& ram) {
  const BootImages images = RS_TRY(load_images(spec));
  return place(images, spec, ram);
}

}  // namespace ringside::boot
