#include "stub/guestos/kallsyms.hpp"

#include <algorithm>
#include <array>
#include <functional>

#include "stub/guestos/copy.hpp"

namespace ringside::guestos {
namespace {

constexpr std::size_t kTokens = 256;
constexpr std::size_t kMostSymbols = 1u << 20;
constexpr std::size_t kUsualBefore = 4u
                                     << 20;  // bytes before the token table: names, and what goes with them
constexpr std::size_t kMostBefore = 12u << 20;
constexpr std::size_t kLongestName = 1024;                                            // KSYM_NAME_LEN is 512
constexpr std::size_t kMarkerStep = 256;                                              // symbols
constexpr std::uint32_t kLeastStep = 2 * kMarkerStep, kMostStep = 512 * kMarkerStep;  // bytes of a marker's

struct Tokens {
  Gva table;
  Gva index;  // 512 bytes
  Bytes bytes;
  std::array<std::string_view, kTokens> text;
};

// `zero`: where the token "0" stands.
std::optional<Tokens> read_tokens(const VirtualMemory& memory, Gva zero) {
  constexpr std::size_t kBefore = 4096, kWindow = 3 * 4096;
  Tokens tokens;
  const Copy copy = copy_out(memory, zero - kBefore, kWindow);
  std::size_t end = kBefore;
  for (std::size_t token = '0'; token < kTokens; ++token) {
    const auto nul = std::find(copy.bytes.begin() + static_cast<std::ptrdiff_t>(end), copy.bytes.end(), 0);
    if (nul == copy.bytes.end()) return std::nullopt;
    end = static_cast<std::size_t>(nul - copy.bytes.begin()) + 1;
  }
  for (const std::uint64_t alignment : {4u, 8u}) {
    const std::uint64_t index = ((copy.at.value + end + alignment - 1) & ~(alignment - 1)) - copy.at.value;
    const auto entry = [&](std::size_t n) { return copy.value<std::uint16_t>(index + 2 * n); };
    if (!entry(kTokens - 1) || *entry(0) != 0 || *entry('0') > kBefore) continue;
    const std::size_t table = kBefore - *entry('0');
    bool fits = true;
    for (std::size_t n = 0; fits && n < kTokens; ++n) {
      const std::size_t begin = table + *entry(n);
      const std::size_t limit = n + 1 < kTokens ? table + *entry(n + 1) : end;
      fits = begin < limit && limit <= end && copy.bytes[limit - 1] == 0;
    }
    if (!fits) continue;
    tokens.table = copy.at + table;
    tokens.index = copy.at + index;
    tokens.bytes.assign(copy.bytes.begin() + static_cast<std::ptrdiff_t>(table),
                        copy.bytes.begin() + static_cast<std::ptrdiff_t>(end));
    for (std::size_t n = 0; n < kTokens; ++n) {
      tokens.text[n] = reinterpret_cast<const char*>(tokens.bytes.data()) + *entry(n);
    }
    return tokens;
  }
  return std::nullopt;
}

// The bytes of one compressed name: its length first, in two bytes when it is 128 or more.
std::optional<ByteView> name_at(const Copy& copy, std::uint64_t& at, std::uint64_t end) {
  const auto low = copy.value<std::uint8_t>(at);
  if (!low || at >= end) return std::nullopt;
  std::size_t length = *low;
  ++at;
  if ((length & 0x80) != 0) {
    length = (length & 0x7f) | (std::size_t{copy.value<std::uint8_t>(at).value_or(0)} << 7);
    ++at;
  }
  if (at > end || length > end - at) return std::nullopt;
  const ByteView name = ByteView(copy.bytes).subspan(at, length);
  at += length;
  return name;
}

struct Names {
  std::uint64_t begin = 0, end = 0;  // in the copy
  std::uint64_t count_at = 0;
  std::uint32_t count = 0;
};

// Whether `count` names end just before `markers`, and each marker leads to its name.
bool markers_agree(const Copy& copy, std::uint64_t markers, const Names& names) {
  std::uint64_t at = names.begin;
  for (std::uint32_t i = 0; i < names.count; ++i) {
    if (i % kMarkerStep == 0 &&
        copy.value<std::uint32_t>(markers + 4 * (i / kMarkerStep)) != at - names.begin) {
      return false;
    }
    if (!name_at(copy, at, names.end)) return false;
  }
  return markers - at < 8;
}

std::optional<Names> names_before(const Copy& copy, std::uint64_t markers, std::size_t marker_count) {
  const auto last = copy.value<std::uint32_t>(markers + 4 * (marker_count - 1)).value_or(UINT32_MAX);
  if (last > markers) return std::nullopt;
  const std::uint64_t highest = (markers - last) & ~std::uint64_t{3};
  for (std::uint64_t begin = highest; begin >= 16 && highest - begin < kMostStep; begin -= 4) {
    for (const std::uint64_t count_at : {begin - 4, begin - 8}) {
      const auto count = copy.value<std::uint32_t>(count_at).value_or(0);
      if (count > kMostSymbols || (count + kMarkerStep - 1) / kMarkerStep != marker_count) continue;
      const Names names{begin, markers, count_at, count};
      if (markers_agree(copy, markers, names)) return names;
    }
  }
  return std::nullopt;
}

// `table`: where in the copy the token table begins.  The markers stand before it, perhaps with the list of
// symbols by name in between.
std::optional<Names> find_names(const Copy& copy, std::uint64_t table) {
  constexpr std::uint64_t kMostBetween = 3 * kMostSymbols + 4 * kMostSymbols / kMarkerStep;
  constexpr std::size_t kLeastMarkers = 2;
  int tries = 1000;
  const auto word = [&](std::uint64_t at) { return copy.value<std::uint32_t>(at).value_or(0); };
  const std::uint64_t lowest = table > kMostBetween ? table - kMostBetween : 0;
  for (std::uint64_t at = table & ~std::uint64_t{3}; at >= lowest + 4 && tries > 0; at -= 4) {
    const std::uint64_t markers = at - 4;
    if (word(markers) != 0) continue;
    const auto steps_on = [&](std::size_t n) {
      const std::uint32_t step = word(markers + 4 * n) - word(markers + 4 * (n - 1));
      return step >= kLeastStep && step < kMostStep;
    };
    std::size_t count = 1;
    while (markers + 4 * count < table && steps_on(count)) ++count;
    // What follows the last marker may look like one more.
    for (std::size_t less = 0; less < 2 && count - less >= kLeastMarkers && count > less; ++less, --tries) {
      if (auto names = names_before(copy, markers, count - less)) return names;
    }
  }
  return std::nullopt;
}

using AddressOf = std::function<Gva(std::uint32_t symbol)>;

// Every way in which the addresses may be stored.
std::vector<AddressOf> layouts(const Copy& copy, const Names& names, std::uint64_t index_end) {
  const auto word = [&copy](std::uint64_t at) { return copy.value<std::uint32_t>(at).value_or(0); };
  const auto base = [&copy](std::uint64_t at) { return copy.value<std::uint64_t>(at).value_or(0); };
  const auto aligned = [](std::uint64_t at) { return (at + 7) & ~std::uint64_t{7}; };
  const auto absolute_or_back = [word](std::uint64_t offsets, std::uint64_t from) {
    return [=](std::uint32_t n) {
      const auto offset = std::int64_t{static_cast<std::int32_t>(word(offsets + 4 * std::uint64_t{n}))};
      return Gva{offset >= 0 ? static_cast<std::uint64_t>(offset)
                             : from - 1 - static_cast<std::uint64_t>(offset)};
    };
  };
  const auto forward = [word](std::uint64_t offsets, std::uint64_t from) {
    return [=](std::uint32_t n) { return Gva{from + word(offsets + 4 * std::uint64_t{n})}; };
  };
  std::vector<AddressOf> all;
  const std::uint64_t bytes = aligned(4 * std::uint64_t{names.count});
  if (names.count_at >= bytes + 8) {
    const std::uint64_t base_at = names.count_at - 8;
    all.emplace_back(absolute_or_back(base_at - bytes, base(base_at)));
    all.emplace_back(forward(base_at - bytes, base(base_at)));
  }
  const std::uint64_t behind = index_end;
  const std::uint64_t base_at = aligned(copy.at.value + behind + 4 * names.count) - copy.at.value;
  all.emplace_back(absolute_or_back(behind, base(base_at)));
  all.emplace_back(forward(behind, base(base_at)));
  all.emplace_back([&copy, word, behind](std::uint32_t n) {
    const std::uint64_t at = behind + 4 * std::uint64_t{n};
    return copy.at + at + static_cast<std::uint64_t>(std::int64_t{static_cast<std::int32_t>(word(at))});
  });
  return all;
}

struct Name {
  std::size_t at = 0, length = 0;  // with the type in front
};

// Every name, written out behind one another.
std::optional<std::vector<Name>> expand(const Copy& copy, const Names& names, const Tokens& tokens,
                                        std::string& text) {
  std::vector<Name> all;
  all.reserve(names.count);
  text.reserve(std::size_t{names.count} * 32);
  std::uint64_t at = names.begin;
  for (std::uint32_t i = 0; i < names.count; ++i) {
    const auto codes = name_at(copy, at, names.end);
    if (!codes) return std::nullopt;
    const std::size_t begin = text.size();
    for (const std::uint8_t code : *codes) {
      text += tokens.text[code];
      if (text.size() - begin > kLongestName) return std::nullopt;
    }
    if (text.size() == begin) return std::nullopt;
    all.push_back({begin, text.size() - begin});
  }
  return all;
}

bool is_banner(const VirtualMemory& memory, Gva at) {
  constexpr std::string_view kBegin = "Linux version ";
  std::array<char, kBegin.size()> text;
  return text_into(memory, at, text) == kBegin.size() && std::string_view(text.data(), text.size()) == kBegin;
}

void append(Copy& copy, const VirtualMemory& memory, std::size_t size) {
  const Copy more = copy_out(memory, copy.end(), size);
  copy.bytes.insert(copy.bytes.end(), more.bytes.begin(), more.bytes.end());
}

Result<SymbolTable> read_table(const VirtualMemory& memory, const Tokens& tokens) {
  Copy copy;
  std::optional<Names> names;
  for (const std::uint64_t before : {kUsualBefore, kMostBefore}) {
    if (names || before > tokens.table.value) break;
    copy = copy_out(memory, tokens.table - before,
                    static_cast<std::size_t>(before + (tokens.index - tokens.table)));
    names = find_names(copy, before);
  }
  if (!names) return fail(Errc::kNotFound, "kallsyms: tokens without names");
  const std::uint64_t index_end = tokens.index - copy.at + 2 * kTokens;
  append(copy, memory,
         index_end - copy.bytes.size() + 4 * std::size_t{names->count} + 2 * sizeof(std::uint64_t));
  std::string text;
  const auto list = expand(copy, *names, tokens, text);
  if (!list) return fail(Errc::kMalformed, "kallsyms: a name is damaged");
  const auto full = [&](const Name& name) { return std::string_view(text).substr(name.at, name.length); };
  const auto banner =
      std::ranges::find_if(*list, [&](const Name& name) { return full(name).substr(1) == "linux_banner"; });
  if (banner == list->end()) return fail(Errc::kUnsupported, "kallsyms: the kernel has functions only in it");
  const auto known = static_cast<std::uint32_t>(banner - list->begin());
  for (const AddressOf& address_of : layouts(copy, *names, index_end)) {
    if (!is_banner(memory, address_of(known))) continue;
    SymbolTable table;
    table.reserve(list->size(), text.size());
    for (std::uint32_t n = 0; n < names->count; ++n) {
      const std::string_view name = full((*list)[n]);
      table.add(address_of(n), name[0], name.substr(1));
    }
    table.seal();
    return table;
  }
  return fail(Errc::kUnsupported, "kallsyms: the addresses are stored in a way that is not known");
}

bool anything_in(const VirtualMemory& memory, Gva begin, std::uint64_t bytes) {
  for (std::uint64_t offset = 0; offset < bytes; offset += kPageSize) {
    if (memory.load_at<std::uint8_t>(begin + offset)) return true;
  }
  return false;
}

// Calls `use` with each place of the run of tokens "0" to "9" near `hint`, until it says true.  Upwards
// first: the table is read-only data, the hint most often text.
bool each_token_run(const VirtualMemory& memory, Gva hint, const std::function<bool(Gva)>& use) {
  constexpr std::string_view kRun{"0\0001\0002\0003\0004\0005\0006\0007\0008\0009", 20};
  constexpr std::uint64_t kBlock = 2u << 20, kReach = 64;
  const Gva first{hint.value & ~(kBlock - 1)};
  const auto search = [&](Gva block) {
    if (!anything_in(memory, block, kBlock)) return false;
    const Copy copy = copy_out(memory, block, kBlock + kRun.size());
    const std::string_view bytes(reinterpret_cast<const char*>(copy.bytes.data()), copy.bytes.size());
    for (std::size_t at = bytes.find(kRun); at != bytes.npos; at = bytes.find(kRun, at + 1)) {
      if (use(block + at)) return true;
    }
    return false;
  };
  for (std::uint64_t n = 0; n < kReach; ++n) {
    if (search(first + n * kBlock)) return true;
  }
  for (std::uint64_t n = 1; n < kReach / 2; ++n) {
    if (search(first - n * kBlock)) return true;
  }
  return false;
}

}  // namespace

Result<SymbolTable> read_kallsyms(const VirtualMemory& memory, Gva hint) {
  Result<SymbolTable> answer = fail(Errc::kNotFound, "no kallsyms in memory: not Linux, or not unpacked yet");
  int tries = 16;
  each_token_run(memory, hint, [&](Gva zero) {
    const auto tokens = read_tokens(memory, zero);
    if (!tokens || --tries < 0) return false;
    Result<SymbolTable> table = read_table(memory, *tokens);
    if (!table && answer) return false;
    answer = std::move(table);
    return answer.has_value();
  });
  return answer;
}

}  // namespace ringside::guestos
