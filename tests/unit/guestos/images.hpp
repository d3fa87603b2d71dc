// Kernels in miniature for the readers of stub/guestos: memory that begins at one address, symbol tables in
// each way in which kernels store them, type information.
#pragma once

#include <cstring>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "arch/bytes.hpp"
#include "arch/guest_view.hpp"

namespace ringside::guestos::test {

// One range of virtual addresses; nothing is there beside it.
class FlatMemory : public VirtualMemory {
 public:
  FlatMemory(Gva at, std::size_t size) : at_(at), bytes_(size) {}
  FlatMemory(Gva at, Bytes bytes) : at_(at), bytes_(std::move(bytes)) {}

  bool read(Gva from, MutableByteView to) const noexcept override {
    const std::uint64_t offset = from - at_;
    if (offset > bytes_.size() || to.size() > bytes_.size() - offset) return false;
    if (!to.empty()) std::memcpy(to.data(), bytes_.data() + offset, to.size());
    return true;
  }
  template <typename T>
  void put(Gva at, T value) {
    store(bytes_.data() + (at - at_), value);
  }
  void put_text(Gva at, std::string_view text) {
    std::memcpy(bytes_.data() + (at - at_), text.data(), text.size());
  }
  Bytes& bytes() { return bytes_; }
  Gva begin() const { return at_; }

 private:
  Gva at_;
  Bytes bytes_;
};

// Borrows both; `first` is asked first.
class TwoMemories final : public VirtualMemory {
 public:
  TwoMemories(const VirtualMemory& first, const VirtualMemory& second) : first_(first), second_(second) {}
  bool read(Gva from, MutableByteView to) const noexcept override {
    return first_.read(from, to) || second_.read(from, to);
  }

 private:
  const VirtualMemory& first_;
  const VirtualMemory& second_;
};

struct TestSymbol {
  std::uint64_t at;
  char type;
  std::string name;
};

enum class KallsymsLayout { kBeforeNames, kBehindIndex, kUnsigned, kFromOwnPlace };

// The sections of scripts/kallsyms.c from `at` on.  Names are not compressed: each code is its own character.
inline void put_kallsyms(FlatMemory& memory, Gva at, const std::vector<TestSymbol>& symbols,
                         std::uint64_t base, KallsymsLayout layout) {
  const std::uint64_t alignment = layout == KallsymsLayout::kFromOwnPlace ? 4 : 8;
  const auto align = [&] { at = Gva{(at.value + alignment - 1) & ~(alignment - 1)}; };
  const auto put_offsets = [&] {
    align();
    for (const TestSymbol& symbol : symbols) {
      const bool absolute = symbol.at < base;
      std::uint64_t offset = symbol.at;
      if (layout == KallsymsLayout::kFromOwnPlace) {
        offset = symbol.at - at.value;
      } else if (layout == KallsymsLayout::kUnsigned) {
        offset = symbol.at - base;
      } else if (!absolute) {
        offset = base - 1 - symbol.at;
      }
      memory.put(at, static_cast<std::uint32_t>(offset));
      at = at + 4;
    }
    if (layout == KallsymsLayout::kFromOwnPlace) return;
    align();
    memory.put(at, base);
    at = at + 8;
  };
  if (layout == KallsymsLayout::kBeforeNames) put_offsets();
  align();
  memory.put(at, static_cast<std::uint32_t>(symbols.size()));
  at = at + 4;
  align();
  const Gva names = at;
  std::vector<std::uint32_t> markers;
  for (std::size_t i = 0; i < symbols.size(); ++i) {
    if (i % 256 == 0) markers.push_back(static_cast<std::uint32_t>(at - names));
    const std::string text = symbols[i].type + symbols[i].name;
    if (text.size() >= 128) {
      memory.put(at, static_cast<std::uint8_t>(0x80 | (text.size() & 0x7f)));
      memory.put(at + 1, static_cast<std::uint8_t>(text.size() >> 7));
      at = at + 2;
    } else {
      memory.put(at, static_cast<std::uint8_t>(text.size()));
      at = at + 1;
    }
    memory.put_text(at, text);
    at = at + text.size();
  }
  align();
  for (const std::uint32_t marker : markers) {
    memory.put(at, marker);
    at = at + 4;
  }
  align();
  if (layout == KallsymsLayout::kBeforeNames) at = at + 3 * symbols.size();
  align();
  const Gva table = at;
  std::vector<std::uint16_t> index;
  for (int code = 0; code < 256; ++code) {
    index.push_back(static_cast<std::uint16_t>(at - table));
    const std::string token = code > ' ' && code < 127 ? std::string(1, static_cast<char>(code)) : "tok";
    memory.put_text(at, token);
    at = at + token.size() + 1;
  }
  align();
  for (const std::uint16_t offset : index) {
    memory.put(at, offset);
    at = at + 2;
  }
  if (layout != KallsymsLayout::kBeforeNames) put_offsets();
}

// Type information, put together by hand.  Types are numbered from 1 in the order of the calls.
class BtfImage {
 public:
  std::uint32_t integer(std::string_view name, std::uint32_t bytes) { return add(name, 1, 0, bytes, {0}); }
  std::uint32_t pointer(std::uint32_t to) { return add("", 2, 0, to, {}); }
  std::uint32_t array(std::uint32_t of, std::uint32_t count) { return add("", 3, 0, 0, {of, of, count}); }
  std::uint32_t constant(std::uint32_t of) { return add("", 10, 0, of, {}); }
  struct Member {
    std::string name;
    std::uint32_t type;
    std::uint32_t byte;
    std::uint32_t bit = 0;    // behind `byte`
    std::uint32_t width = 0;  // of a bit field
  };
  std::uint32_t structure(std::string_view name, std::uint32_t bytes, const std::vector<Member>& members) {
    std::vector<std::uint32_t> words;
    std::uint32_t has_bit_fields = 0;
    for (const Member& member : members) {
      words.insert(words.end(),
                   {text(member.name), member.type, member.byte * 8 + member.bit + (member.width << 24)});
      if (member.width != 0) has_bit_fields = 1;
    }
    return add(name, 4 | has_bit_fields << 7, static_cast<std::uint32_t>(members.size()), bytes, words);
  }
  Bytes bytes() const {
    Bytes all(24);
    store(all.data(), std::uint16_t{0xeb9f});
    all[2] = 1;
    store(all.data() + 4, std::uint32_t{24});
    store(all.data() + 8, std::uint32_t{0});
    store(all.data() + 12, static_cast<std::uint32_t>(types_.size()));
    store(all.data() + 16, static_cast<std::uint32_t>(types_.size()));
    store(all.data() + 20, static_cast<std::uint32_t>(strings_.size()));
    all.reserve(all.size() + types_.size() + strings_.size());
    for (const std::uint8_t byte : types_) all.push_back(byte);
    for (const char c : strings_) all.push_back(static_cast<std::uint8_t>(c));
    return all;
  }

 private:
  std::uint32_t text(std::string_view name) {
    if (name.empty()) return 0;
    const auto at = static_cast<std::uint32_t>(strings_.size());
    strings_ += name;
    strings_ += '\0';
    return at;
  }
  std::uint32_t add(std::string_view name, std::uint32_t kind, std::uint32_t length, std::uint32_t size,
                    const std::vector<std::uint32_t>& extra) {
    const auto word = [this](std::uint32_t value) {
      const ByteView bytes = bytes_of(value);
      types_.insert(types_.end(), bytes.begin(), bytes.end());
    };
    word(text(name));
    word((kind << 24) | length);
    word(size);
    for (const std::uint32_t value : extra) word(value);
    return ++count_;
  }

  Bytes types_;
  std::string strings_{"\0", 1};
  std::uint32_t count_ = 0;
};

}  // namespace ringside::guestos::test
