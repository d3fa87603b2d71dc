// Where in its life the guest is to stop without anybody's breakpoint: the names, and who has asked for which.
//
// `--stop-at` are places of the boot, each passed once; `--stop-on` is trouble, at any time.  Pure values.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>

#include "arch/result.hpp"

namespace ringside::hub {

enum class Occasion : std::uint8_t {
  kReset,
  kEntry32,
  kEntry64,
  kDecompressor,
  kRelocated,
  kStartKernel,
  kInit,
  kMode,
  kMark,
  kTripleFault,
  kFailure,
  kPanic,
  kOops,
  kWarn,
  kHang,
  kModule,  // the monitor's own: not to be asked for
};

struct OccasionInfo {
  Occasion occasion;
  std::string_view name;
  std::string_view meaning;
  bool trouble = false;  // --stop-on, not --stop-at
};

std::span<const OccasionInfo> occasions();
std::string_view name_of(Occasion occasion);

struct StopWishes {
  static constexpr unsigned kUsualHangSeconds = 10;  // as Linux' own watchdog_thresh

  std::set<Occasion> at;
  std::optional<std::uint8_t> mark;  // only this one; else any
  unsigned hang_seconds = kUsualHangSeconds;

  bool has(Occasion occasion) const { return at.contains(occasion); }
  // Those that need the kernel's symbols.
  bool need_symbols() const;
  // "start_kernel,mark:0x42" of places, "panic,hang:30" of trouble; `none` drops all of the same kind.  All or
  // nothing: the error says which names there are.
  Result<void> add(std::string_view names, bool trouble);
};

}  // namespace ringside::hub
