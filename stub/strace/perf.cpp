// The attributes of perf_event_open() (uapi/linux/perf_event.h), as far as they are shown.
#include <array>

#include "stub/strace/arguments.hpp"

namespace ringside::strace::arguments {

namespace {

enum : std::uint32_t { kHardware = 0, kSoftware = 1, kTracepoint = 2, kHwCache = 3 };

struct Attributes {
  std::uint32_t type, size;
  std::uint64_t config, period, sample_type, read_format, bits;
};

// The single bits by place; the gap is precise_ip.
constexpr unsigned kFrequency = 10;
constexpr unsigned kPrecise = 15;
constexpr std::string_view kBits[] = {"disabled",
                                      "inherit",
                                      "pinned",
                                      "exclusive",
                                      "exclude_user",
                                      "exclude_kernel",
                                      "exclude_hv",
                                      "exclude_idle",
                                      "mmap",
                                      "comm",
                                      "freq",
                                      "inherit_stat",
                                      "enable_on_exec",
                                      "task",
                                      "watermark",
                                      "",
                                      "",
                                      "mmap_data",
                                      "sample_id_all",
                                      "exclude_host",
                                      "exclude_guest",
                                      "exclude_callchain_kernel",
                                      "exclude_callchain_user",
                                      "mmap2",
                                      "comm_exec",
                                      "use_clockid",
                                      "context_switch",
                                      "write_backward",
                                      "namespaces",
                                      "ksymbol",
                                      "bpf_event",
                                      "aux_output",
                                      "cgroup",
                                      "text_poke",
                                      "build_id",
                                      "inherit_thread",
                                      "remove_on_exec",
                                      "sigtrap"};
constexpr std::string_view kSkids[] = {"arbitrary skid", "constant skid", "requested to have 0 skid",
                                       "must have 0 skid"};

// What is counted, and on what occasion, a byte each.
void print_cache_event(Printer& printer, std::uint64_t config) {
  if (config >> 24 != 0) printer.format("{:#x}<<24|", config >> 24);
  printer.named(names::perf_cache_results, config >> 16 & 0xff);
  printer.text("<<16|");
  printer.named(names::perf_cache_operations, config >> 8 & 0xff);
  printer.text("<<8|");
  printer.named(names::perf_caches, config & 0xff);
}

void print_config(Printer& printer, const Attributes& attributes) {
  switch (attributes.type) {
    case kHardware:
      return printer.named(names::perf_hardware_events, attributes.config);
    case kSoftware:
      return printer.named(names::perf_software_events, attributes.config);
    case kTracepoint:
      return printer.unsigned_decimal(attributes.config);
    case kHwCache:
      return print_cache_event(printer, attributes.config);
    default:
      return printer.hex(attributes.config);
  }
}

void print_bits(Printer& printer, std::uint64_t bits) {
  for (unsigned i = 0; i < std::size(kBits); ++i) {
    if (i == kPrecise) printer.format(", precise_ip={0} /* {1} */", bits >> i & 3, kSkids[bits >> i & 3]);
    if (!kBits[i].empty() && (bits >> i & 1) != 0) printer.format(", {}=1", kBits[i]);
  }
  if (const std::uint64_t rest = bits >> std::size(kBits); rest != 0)
    printer.format(", __reserved_1={:#x} /* Bits 63..{} */", rest, std::size(kBits));
}

}  // namespace

void print_perf_attr(Printer& printer, unsigned at) {
  constexpr std::uint32_t kFirstSize = 64;  // PERF_ATTR_SIZE_VER0; what 0 stands for
  const std::uint64_t where = printer.arg(at);
  const auto attributes = where == 0 ? std::nullopt : printer.load<Attributes>(where);
  if (!attributes || (attributes->size != 0 && attributes->size < kFirstSize)) return printer.pointer(where);
  printer.text("{type=");
  printer.named(names::perf_types, attributes->type);
  printer.text(", size=");
  printer.named(names::perf_sizes, attributes->size);
  printer.text(", config=");
  print_config(printer, *attributes);
  printer.format(
      ", {}={}, sample_type=", (attributes->bits >> kFrequency & 1) != 0 ? "sample_freq" : "sample_period",
      attributes->period);
  printer.flags(names::perf_samples, attributes->sample_type);
  printer.text(", read_format=");
  printer.flags(names::perf_formats, attributes->read_format);
  print_bits(printer, attributes->bits);
  printer.text(", ...}");
}

}  // namespace ringside::strace::arguments
