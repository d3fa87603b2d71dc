#include "stub/strace/record.hpp"

#include <algorithm>
#include <bit>
#include <limits>

namespace ringside::strace {
namespace {

enum Field : std::uint64_t {
  kKind = 1,
  kTime = 2,
  kCpu = 3,
  kPid = 4,
  kTgid = 5,
  kComm = 6,
  kAbi = 7,
  kNumber = 8,
  kName = 9,
  kText = 10,
  kMore = 11,
  kResult = 12,
  kResultText = 13,
  kTook = 14,
  kLostCount = 15,
  kCode = 16,
  kParent = 17,
  kCalls = 18,
  kErrors = 19,
  kStack = 20,
};

constexpr std::size_t kLongestVarint = 10;

// Small negative numbers take few bytes, too.
constexpr std::uint64_t zigzag(std::int64_t value) {
  return (static_cast<std::uint64_t>(value) << 1) ^ static_cast<std::uint64_t>(value >> 63);
}
constexpr std::int64_t unzigzag(std::uint64_t value) {
  return static_cast<std::int64_t>((value >> 1) ^ (~(value & 1) + 1));
}

class Writer {
 public:
  explicit Writer(MutableByteView into) : into_(into) {}

  void varint(std::uint64_t value) {
    do {
      const std::uint8_t more = value > 0x7f ? 0x80 : 0;
      byte(static_cast<std::uint8_t>((value & 0x7f) | more));
      value >>= 7;
    } while (value != 0);
  }
  void number(Field field, std::uint64_t value) {
    if (value == 0) return;
    varint(field << 1);
    varint(value);
  }
  void bytes(Field field, ByteView value) {
    if (value.empty()) return;
    varint(field << 1 | 1);
    varint(value.size());
    if (used_ <= into_.size() && value.size() <= into_.size() - used_)
      std::ranges::copy(value, into_.begin() + static_cast<std::ptrdiff_t>(used_));
    used_ += value.size();
  }
  void text(Field field, std::string_view value) {
    bytes(field, {reinterpret_cast<const std::uint8_t*>(value.data()), value.size()});
  }
  std::size_t used() const { return used_; }
  bool fits() const { return used_ <= into_.size(); }

 private:
  void byte(std::uint8_t value) {
    if (used_ < into_.size()) into_[used_] = value;
    ++used_;
  }

  MutableByteView into_;
  std::size_t used_ = 0;
};

void write_fields(const Record& r, Writer& out) {
  out.number(kKind, static_cast<std::uint64_t>(r.kind));
  out.number(kTime, r.time_ns);
  out.number(kCpu, r.cpu);
  out.number(kPid, zigzag(r.pid));
  out.number(kTgid, zigzag(r.tgid));
  out.text(kComm, r.comm);
  out.number(kAbi, static_cast<std::uint64_t>(r.abi));
  out.number(kNumber, r.number);
  out.text(kName, r.name);
  out.text(kText, r.text);
  out.number(kMore, r.more ? 1 : 0);
  out.number(kResult, zigzag(r.result));
  out.text(kResultText, r.result_text);
  out.number(kTook, r.took_ns);
  out.number(kLostCount, r.lost);
  out.number(kCode, zigzag(r.code));
  out.number(kParent, zigzag(r.parent));
  out.number(kCalls, r.calls);
  out.number(kErrors, r.errors);
  out.text(kStack, r.stack);
}

std::optional<std::uint64_t> take_varint(ByteView& bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < kLongestVarint; ++i) {
    if (i >= bytes.size()) return std::nullopt;
    value |= static_cast<std::uint64_t>(bytes[i] & 0x7f) << (7 * i);
    if ((bytes[i] & 0x80) != 0) continue;
    bytes = bytes.subspan(i + 1);
    return value;
  }
  return std::nullopt;
}

std::optional<ByteView> take_bytes(ByteView& bytes) {
  const auto size = take_varint(bytes);
  if (!size || *size > bytes.size()) return std::nullopt;
  const ByteView taken = bytes.first(static_cast<std::size_t>(*size));
  bytes = bytes.subspan(taken.size());
  return taken;
}

// A value that its type cannot hold comes from no monitor: any will do.
template <typename T>
T narrow(std::uint64_t value) {
  return static_cast<T>(value);
}
std::int32_t narrow_signed(std::uint64_t value) { return static_cast<std::int32_t>(unzigzag(value)); }

void set_number(Record& r, std::uint64_t field, std::uint64_t value) {
  switch (field) {
    case kKind:
      r.kind = value <= static_cast<std::uint64_t>(Record::Kind::kCount) ? narrow<Record::Kind>(value)
                                                                         : Record::Kind::kNone;
      break;
    case kTime:
      r.time_ns = value;
      break;
    case kCpu:
      r.cpu = narrow<std::uint32_t>(value);
      break;
    case kPid:
      r.pid = narrow_signed(value);
      break;
    case kTgid:
      r.tgid = narrow_signed(value);
      break;
    case kAbi:
      r.abi = value == 1 ? Abi::kI386 : Abi::kX64;
      break;
    case kNumber:
      r.number = narrow<std::uint32_t>(value);
      break;
    case kMore:
      r.more = value != 0;
      break;
    case kResult:
      r.result = unzigzag(value);
      break;
    case kTook:
      r.took_ns = value;
      break;
    case kLostCount:
      r.lost = value;
      break;
    case kCode:
      r.code = narrow_signed(value);
      break;
    case kParent:
      r.parent = narrow_signed(value);
      break;
    case kCalls:
      r.calls = value;
      break;
    case kErrors:
      r.errors = value;
      break;
    default:
      break;
  }
}

void set_bytes(Record& r, std::uint64_t field, ByteView value) {
  const std::string_view text(reinterpret_cast<const char*>(value.data()), value.size());
  if (field == kComm) r.comm = text;
  if (field == kName) r.name = text;
  if (field == kText) r.text = text;
  if (field == kResultText) r.result_text = text;
  if (field == kStack) r.stack = text;
}

}  // namespace

std::optional<std::size_t> encode(const Record& record, MutableByteView into) noexcept {
  Writer measure({});
  write_fields(record, measure);
  Writer out(into);
  out.varint(measure.used());
  write_fields(record, out);
  if (!out.fits()) return std::nullopt;
  return out.used();
}

std::optional<Record> decode(ByteView& bytes) noexcept {
  ByteView rest = bytes;
  auto fields = take_bytes(rest);
  if (!fields) return std::nullopt;
  Record record;
  while (!fields->empty()) {
    const auto tag = take_varint(*fields);
    if (!tag) return std::nullopt;
    if ((*tag & 1) != 0) {
      const auto value = take_bytes(*fields);
      if (!value) return std::nullopt;
      set_bytes(record, *tag >> 1, *value);
    } else {
      const auto value = take_varint(*fields);
      if (!value) return std::nullopt;
      set_number(record, *tag >> 1, *value);
    }
  }
  bytes = rest;
  return record;
}

}  // namespace ringside::strace
