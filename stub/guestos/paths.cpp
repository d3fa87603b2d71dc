#include "stub/guestos/paths.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>

#include "stub/guestos/copy.hpp"

namespace ringside::guestos {
namespace {

constexpr std::string_view kDeleted = " (deleted)";
constexpr unsigned kMostSteps = 512;  // names and mounts on the way up

std::optional<Gva> pointer(const VirtualMemory& memory, Gva at) noexcept {
  const auto value = memory.load_at<std::uint64_t>(at);
  if (!value || *value == 0) return std::nullopt;
  return Gva{*value};
}

// Text that grows at its front, in a place of the caller's.
class Backwards {
 public:
  explicit Backwards(std::span<char> into) : into_(into), begin_(into.size()) {}

  bool prepend(std::string_view text) noexcept {
    if (text.size() > begin_) return false;
    begin_ -= text.size();
    std::ranges::copy(text, into_.begin() + static_cast<std::ptrdiff_t>(begin_));
    return true;
  }
  bool empty() const { return begin_ == into_.size(); }
  // Moves it to where the caller expects it.
  std::size_t finish() noexcept {
    const auto from = into_.begin() + static_cast<std::ptrdiff_t>(begin_);
    std::copy(from, into_.end(), into_.begin());
    return into_.size() - begin_;
  }

 private:
  std::span<char> into_;
  std::size_t begin_;
};

struct Name {
  std::array<char, 256> storage;
  std::size_t length = 0;
  std::string_view text() const { return {storage.data(), length}; }
};

bool read_name(const PathLayout& at, Gva dentry, const VirtualMemory& memory, Name& name) noexcept {
  const auto bytes = pointer(memory, dentry + at.d_name);
  const auto length = memory.load_at<std::uint32_t>(dentry + at.d_len);
  if (!bytes || !length || *length >= name.storage.size()) return false;
  name.length = *length;
  return memory.read(*bytes, {reinterpret_cast<std::uint8_t*>(name.storage.data()), name.length});
}

}  // namespace

std::optional<std::size_t> PathReader::fd_path(Gva task, int fd, const VirtualMemory& memory,
                                               std::span<char> into) const noexcept {
  const auto files = pointer(memory, task + file_.files);
  if (!files || fd < 0) return std::nullopt;
  const auto table = pointer(memory, *files + file_.fdt);
  if (!table) return std::nullopt;
  const auto count = memory.load_at<std::uint32_t>(*table + file_.max_fds);
  const auto array = pointer(memory, *table + file_.fd);
  if (!count || !array || static_cast<std::uint32_t>(fd) >= *count) return std::nullopt;
  const auto file = pointer(memory, *array + 8 * static_cast<std::uint64_t>(fd));
  if (!file) return std::nullopt;
  return path(*file + file_.f_path, memory, into);
}

std::optional<std::size_t> PathReader::working_directory(Gva task, const VirtualMemory& memory,
                                                         std::span<char> into) const noexcept {
  const auto fs = pointer(memory, task + file_.fs);
  if (!fs) return std::nullopt;
  return path(*fs + file_.pwd, memory, into);
}

std::optional<std::size_t> PathReader::path(Gva path, const VirtualMemory& memory,
                                            std::span<char> into) const noexcept {
  const auto mount = pointer(memory, path + at_.path_mnt);
  const auto dentry = pointer(memory, path + at_.path_dentry);
  if (!mount || !dentry) return std::nullopt;
  const auto parent = pointer(memory, *dentry + at_.d_parent);
  const auto root = pointer(memory, *mount + at_.mnt_root);
  if (!parent || !root) return std::nullopt;
  // Its own parent, and no mount's root: a file that is in no directory.
  if (*parent == *dentry && *dentry != *root) return pseudo(*dentry, memory, into);
  return walk(*mount - at_.mount_mnt, *dentry, memory, into);
}

// What the filesystem's own d_dname says.
std::optional<std::size_t> PathReader::pseudo(Gva dentry, const VirtualMemory& memory,
                                              std::span<char> into) const noexcept {
  const auto sb = pointer(memory, dentry + at_.d_sb);
  const auto type = sb ? pointer(memory, *sb + at_.sb_type) : std::nullopt;
  const auto type_name = type ? pointer(memory, *type + at_.type_name) : std::nullopt;
  if (!type_name) return std::nullopt;
  std::array<char, 16> kind_bytes;
  const auto kind_length = text_into(memory, *type_name, kind_bytes);
  if (!kind_length) return std::nullopt;
  const std::string_view kind(kind_bytes.data(), *kind_length);

  Backwards text(into);
  Name name;
  if (kind == "sockfs" || kind == "pipefs") {
    const auto inode = pointer(memory, dentry + at_.d_inode);
    const auto number = inode ? memory.load_at<std::uint64_t>(*inode + at_.i_ino) : std::nullopt;
    if (!number) return std::nullopt;
    std::array<char, 24> digits;
    const auto end = std::to_chars(digits.begin(), digits.end(), *number).ptr;
    const bool fits = text.prepend("]") && text.prepend({digits.begin(), end}) &&
                      text.prepend(kind == "sockfs" ? "socket:[" : "pipe:[");
    return fits ? std::optional(text.finish()) : std::nullopt;
  }
  if (kind == "pidfs")
    return text.prepend("anon_inode:[pidfd]") ? std::optional(text.finish()) : std::nullopt;
  if (!read_name(at_, dentry, memory, name)) return std::nullopt;
  if (kind == "anon_inodefs") {
    const bool fits = text.prepend(name.text()) && text.prepend("anon_inode:");
    return fits ? std::optional(text.finish()) : std::nullopt;
  }
  if (kind == "nsfs") return std::nullopt;
  const bool fits = text.prepend(kDeleted) && text.prepend(name.text()) && text.prepend("/");
  return fits ? std::optional(text.finish()) : std::nullopt;
}

std::optional<std::size_t> PathReader::walk(Gva mount, Gva dentry, const VirtualMemory& memory,
                                            std::span<char> into) const noexcept {
  Backwards text(into);
  const auto hashed = memory.load_at<std::uint64_t>(dentry + at_.d_unhashed);
  const auto first_parent = pointer(memory, dentry + at_.d_parent);
  if (!hashed || !first_parent) return std::nullopt;
  const bool deleted = *hashed == 0 && *first_parent != dentry;
  if (deleted && !text.prepend(kDeleted)) return std::nullopt;
  bool named = false;
  for (unsigned step = 0; step < kMostSteps; ++step) {
    const auto root = pointer(memory, mount + at_.mount_mnt + at_.mnt_root);
    const auto parent = pointer(memory, dentry + at_.d_parent);
    if (!root || !parent) return std::nullopt;
    if (dentry == *root) {
      const auto above = pointer(memory, mount + at_.mount_parent);
      const auto mountpoint = pointer(memory, mount + at_.mount_mountpoint);
      if (!above || !mountpoint) return std::nullopt;
      if (*above == mount) break;
      dentry = *mountpoint;
      mount = *above;
      continue;
    }
    if (dentry == *parent) break;
    Name name;
    if (!read_name(at_, dentry, memory, name)) return std::nullopt;
    if (!text.prepend(name.text()) || !text.prepend("/")) return std::nullopt;
    named = true;
    dentry = *parent;
  }
  if (!named && !text.prepend("/")) return std::nullopt;
  return text.finish();
}

}  // namespace ringside::guestos
