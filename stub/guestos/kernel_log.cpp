#include "stub/guestos/kernel_log.hpp"

#include <cstdio>
#include <optional>
#include <string>

namespace ringside::guestos {
namespace {

constexpr unsigned kStateShift = 62;  // of state_var's 64 bits
constexpr std::uint64_t kIdMask = (std::uint64_t{1} << kStateShift) - 1;
constexpr std::uint64_t kCommitted = 1, kFinalized = 2;
constexpr unsigned kMostDescBits = 24, kMostDataBits = 30;
constexpr std::size_t kMostText = 64u << 20;
constexpr std::size_t kLongestRecord = 1u << 16;

// The ring's own words, copied once.
struct Ring {
  Gva descs, infos, data;
  std::uint64_t desc_count = 0, data_bytes = 0;
  std::uint64_t head = 0, tail = 0;  // ids
};

std::optional<Ring> read_ring(const LogLayout& at, const VirtualMemory& memory) {
  const auto word = [&](Gva where) { return memory.load_at<std::uint64_t>(where); };
  const auto prb = word(at.prb);
  if (!prb) return std::nullopt;
  const Gva ring{*prb};
  const auto count_bits = memory.load_at<std::uint32_t>(ring + at.count_bits);
  const auto size_bits = memory.load_at<std::uint32_t>(ring + at.size_bits);
  const auto descs = word(ring + at.descs), infos = word(ring + at.infos), data = word(ring + at.data);
  const auto head = word(ring + at.head_id), tail = word(ring + at.tail_id);
  if (!count_bits || !size_bits || !descs || !infos || !data || !head || !tail) return std::nullopt;
  if (*count_bits > kMostDescBits || *size_bits > kMostDataBits) return std::nullopt;
  return Ring{Gva{*descs},
              Gva{*infos},
              Gva{*data},
              std::uint64_t{1} << *count_bits,
              std::uint64_t{1} << *size_bits,
              *head & kIdMask,
              *tail & kIdMask};
}

// "[    0.123456] " in front of every line, as dmesg does.
void append_lines(std::string& log, std::uint64_t nanoseconds, std::string_view text) {
  char stamp[48];
  const int length = std::snprintf(stamp, sizeof stamp, "[%5llu.%06llu] ",
                                   static_cast<unsigned long long>(nanoseconds / 1'000'000'000),
                                   static_cast<unsigned long long>(nanoseconds / 1000 % 1'000'000));
  for (;;) {
    const auto end = text.find('\n');
    log.append(stamp, static_cast<std::size_t>(length));
    for (const char c : text.substr(0, end)) log += c >= ' ' || c == '\t' || c < 0 ? c : '?';
    log += '\n';
    if (end == text.npos) break;
    text.remove_prefix(end + 1);
  }
}

std::optional<std::string> read_text(const Ring& ring, const VirtualMemory& memory, std::uint64_t id,
                                     std::uint64_t begin, std::uint64_t next, std::size_t length) {
  constexpr std::uint64_t kIdBytes = 8;
  constexpr std::uint64_t kEmptyLine = 3;  // EMPTY_LINE_LPOS; other odd numbers: the text is lost
  if (begin == kEmptyLine) return std::string{};
  if ((begin & 1) != 0) return std::nullopt;
  // Not the same turn of the ring: the block stands at the ring's begin.
  const bool wrapped = begin / ring.data_bytes != next / ring.data_bytes && next % ring.data_bytes != 0;
  const std::uint64_t offset = wrapped ? 0 : begin % ring.data_bytes;
  if (length > kLongestRecord || offset + kIdBytes + length > ring.data_bytes) return std::nullopt;
  if ((memory.load_at<std::uint64_t>(ring.data + offset).value_or(~id) & kIdMask) != id) return std::nullopt;
  std::string text(length, '\0');
  if (!memory.read(ring.data + offset + kIdBytes, {reinterpret_cast<std::uint8_t*>(text.data()), length})) {
    return std::nullopt;
  }
  return text;
}

void append_record(const LogLayout& at, const Ring& ring, std::uint64_t id, const VirtualMemory& memory,
                   std::string& log) {
  const std::uint64_t slot = id % ring.desc_count;
  const Gva desc = ring.descs + slot * at.desc_bytes;
  const Gva info = ring.infos + slot * at.info_bytes;
  const auto state = memory.load_at<std::uint64_t>(desc + at.state_var);
  if (!state || (*state & kIdMask) != id) return;
  if ((*state >> kStateShift) != kCommitted && (*state >> kStateShift) != kFinalized) return;
  const auto begin = memory.load_at<std::uint64_t>(desc + at.begin);
  const auto next = memory.load_at<std::uint64_t>(desc + at.next);
  const auto stamp = memory.load_at<std::uint64_t>(info + at.ts_nsec);
  const auto length = memory.load_at<std::uint16_t>(info + at.text_len);
  if (!begin || !next || !stamp || !length) return;
  const auto text = read_text(ring, memory, id, *begin, *next, *length);
  if (text) append_lines(log, *stamp, *text);
}

}  // namespace

Result<std::string> read_kernel_log(const LogLayout& at, const VirtualMemory& memory) {
  const auto ring = read_ring(at, memory);
  if (!ring) return fail(Errc::kMalformed, "the guest's log is damaged, or not there yet");
  std::string log;
  const std::uint64_t count = ((ring->head - ring->tail) & kIdMask) + 1;
  if (count > ring->desc_count) return fail(Errc::kMalformed, "the guest's log is damaged");
  for (std::uint64_t n = 0; n < count && log.size() < kMostText; ++n) {
    append_record(at, *ring, (ring->tail + n) & kIdMask, memory, log);
  }
  return log;
}

}  // namespace ringside::guestos
