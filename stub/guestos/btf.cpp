#include "stub/guestos/btf.hpp"

#include <algorithm>
#include <utility>

namespace ringside::guestos {
namespace {

enum Kind : unsigned {
  kVoid = 0,
  kInt = 1,
  kPointer = 2,
  kArray = 3,
  kStruct = 4,
  kUnion = 5,
  kEnum = 6,
  kTypedef = 8,
  kVolatile = 9,
  kConst = 10,
  kRestrict = 11,
  kTypeTag = 18,
  kEnum64 = 19,
};

constexpr std::uint32_t kTypeBytes = 12;
constexpr unsigned kMostLinks = 32;              // of typedefs and qualifiers, one to the next
constexpr unsigned kMostDepth = 8;               // of unnamed members in one another
constexpr std::uint32_t kMostMembers = 100'000;  // looked at for one path

// What follows a type's three words, for each kind; nothing for one that is not known.
std::optional<std::uint64_t> extra_bytes(unsigned kind, std::uint32_t length) {
  switch (kind) {
    case kInt:
    case 14:  // variable
    case 17:  // declaration tag
      return 4;
    case kArray:
      return 12;
    case kStruct:
    case kUnion:
    case kEnum64:
    case 15:  // data section, an entry
      return 12 * std::uint64_t{length};
    case kEnum:
    case 13:  // function prototype, a parameter
      return 8 * std::uint64_t{length};
    case kPointer:
    case 7:  // forward
    case kTypedef:
    case kVolatile:
    case kConst:
    case kRestrict:
    case 12:  // function
    case 16:  // float
    case kTypeTag:
      return 0;
    default:
      return std::nullopt;
  }
}

}  // namespace

std::uint32_t Btf::word(std::uint64_t at) const {
  if (at > bytes_.size() || bytes_.size() - at < 4) return 0;
  return load<std::uint32_t>(bytes_.data() + at);
}

std::string_view Btf::name(std::uint32_t offset) const {
  if (offset >= strings_end_ - strings_) return {};
  const std::string_view rest(reinterpret_cast<const char*>(bytes_.data()) + strings_ + offset,
                              strings_end_ - strings_ - offset);
  return rest.substr(0, rest.find('\0'));
}

unsigned Btf::kind(Type type) const {
  return type == 0 || type >= types_.size() ? unsigned{kVoid} : (word(types_[type] + 4) >> 24) & 31;
}

std::uint32_t Btf::length(Type type) const { return word(types_[type] + 4) & 0xffff; }

bool Btf::is_structure(Type type) const { return kind(type) == kStruct || kind(type) == kUnion; }

Result<Btf> Btf::parse(Bytes section) {
  constexpr std::uint16_t kMagic = 0xeb9f;
  Btf btf;
  btf.bytes_ = std::move(section);
  if (btf.bytes_.size() < 24 || load<std::uint16_t>(btf.bytes_.data()) != kMagic) {
    return fail(Errc::kMalformed, "BTF: not there");
  }
  const std::uint64_t header = btf.word(4);
  const std::uint64_t types = header + btf.word(8), types_end = types + btf.word(12);
  const std::uint64_t strings = header + btf.word(16), strings_end = strings + btf.word(20);
  if (types_end > btf.bytes_.size() || strings_end > btf.bytes_.size()) {
    return fail(Errc::kMalformed, "BTF: longer than its section");
  }
  btf.strings_ = static_cast<std::uint32_t>(strings);
  btf.strings_end_ = static_cast<std::uint32_t>(strings_end);
  RS_TRY(btf.index_types(static_cast<std::uint32_t>(types), static_cast<std::uint32_t>(types_end)));
  return btf;
}

Result<void> Btf::index_types(std::uint32_t begin, std::uint32_t end) {
  types_.push_back(0);
  types_.reserve((end - begin) / 24);
  for (std::uint64_t at = begin; at + kTypeBytes <= end;) {
    const auto type = static_cast<Type>(types_.size());
    types_.push_back(static_cast<std::uint32_t>(at));
    const auto extra = extra_bytes(kind(type), length(type));
    if (!extra) {
      types_.pop_back();  // a kind of the future: what comes before is good
      break;
    }
    at += kTypeBytes + *extra;
    if (at > end) return fail(Errc::kMalformed, "BTF: a type that is cut off");
    const std::string_view named = name(word(types_[type]));
    if (is_structure(type) && !named.empty()) structures_.try_emplace(named, type);
  }
  return {};
}

Btf::Type Btf::stripped(Type type) const {
  for (unsigned links = 0; links < kMostLinks; ++links) {
    switch (kind(type)) {
      case kTypedef:
      case kVolatile:
      case kConst:
      case kRestrict:
      case kTypeTag:
        type = word(types_[type] + 8);
        break;
      default:
        return type;
    }
  }
  return 0;
}

std::optional<std::uint64_t> Btf::size(Type type) const {
  std::uint64_t factor = 1;
  for (unsigned links = 0; links < kMostLinks; ++links) {
    type = stripped(type);
    switch (kind(type)) {
      case kPointer:
        return factor * 8;
      case kInt:
      case kStruct:
      case kUnion:
      case kEnum:
      case kEnum64:
        return factor * word(types_[type] + 8);
      case kArray:
        factor *= word(types_[type] + kTypeBytes + 8);
        if (factor > UINT32_MAX) return std::nullopt;
        type = word(types_[type] + kTypeBytes);
        break;
      default:
        return std::nullopt;
    }
  }
  return std::nullopt;
}

std::optional<Btf::Found> Btf::find(Type type, std::string_view wanted, unsigned depth,
                                    std::uint32_t& fuel) const {
  if (!is_structure(type) || depth > kMostDepth) return std::nullopt;
  const bool has_bit_fields = (word(types_[type] + 4) >> 31) != 0;
  for (std::uint32_t i = 0; i < length(type) && fuel > 0; ++i, --fuel) {
    const std::uint64_t at = types_[type] + kTypeBytes + 12 * std::uint64_t{i};
    const std::string_view named = name(word(at));
    const std::uint64_t bits = has_bit_fields ? word(at + 8) & 0xffffff : word(at + 8);
    if (named == wanted) return Found{bits, word(at + 4), has_bit_fields ? word(at + 8) >> 24 : 0};
    if (!named.empty()) continue;
    if (const auto inside = find(stripped(word(at + 4)), wanted, depth + 1, fuel)) {
      return Found{bits + inside->bits, inside->type, inside->width};
    }
  }
  return std::nullopt;
}

std::optional<Btf::Found> Btf::find_path(std::string_view structure, std::string_view path) const {
  const auto known = structures_.find(structure);
  if (known == structures_.end() || path.empty()) return std::nullopt;
  Found found{0, known->second, 0};
  std::uint32_t fuel = kMostMembers;
  while (!path.empty()) {
    const auto step = find(stripped(found.type), path.substr(0, path.find('.')), 0, fuel);
    if (!step) return std::nullopt;
    found = {found.bits + step->bits, step->type, step->width};
    path = path.find('.') == path.npos ? std::string_view{} : path.substr(path.find('.') + 1);
  }
  return found;
}

std::optional<std::uint64_t> Btf::member(std::string_view structure, std::string_view path) const {
  const auto found = find_path(structure, path);
  if (!found) return std::nullopt;
  return found->bits / 8;
}

std::optional<std::uint64_t> Btf::member_size(std::string_view structure, std::string_view path) const {
  const auto found = find_path(structure, path);
  if (!found) return std::nullopt;
  return size(found->type);
}

std::optional<Btf::Bits> Btf::bits(std::string_view structure, std::string_view path) const {
  const auto found = find_path(structure, path);
  if (!found) return std::nullopt;
  if (found->width != 0) return Bits{found->bits, found->width};
  const auto bytes = size(found->type);
  if (!bytes) return std::nullopt;
  return Bits{found->bits, *bytes * 8};
}

std::optional<std::uint64_t> Btf::size_of(std::string_view structure) const {
  const auto known = structures_.find(structure);
  if (known == structures_.end()) return std::nullopt;
  return word(types_[known->second] + 8);
}

}  // namespace ringside::guestos
