// Names of open files and of working directories, as /proc/PID/fd and /proc/PID/cwd show them to a process
// whose root is the guest's: from the dentry up to its mount's root, on at the mountpoint, until no mount is
// above (fs/d_path.c, prepend_path).
//
// Thread: any.  Nothing allocates; walks are cut off.
#pragma once

#include <optional>
#include <span>

#include "arch/guest_view.hpp"
#include "stub/guestos/layout.hpp"

namespace ringside::guestos {

class PathReader {
 public:
  PathReader(const PathLayout& path, const FileLayout& file) : at_(path), file_(file) {}

  std::optional<std::size_t> fd_path(Gva task, int fd, const VirtualMemory& memory,
                                     std::span<char> into) const noexcept;
  std::optional<std::size_t> working_directory(Gva task, const VirtualMemory& memory,
                                               std::span<char> into) const noexcept;

 private:
  std::optional<std::size_t> path(Gva path, const VirtualMemory& memory, std::span<char> into) const noexcept;
  std::optional<std::size_t> walk(Gva mount, Gva dentry, const VirtualMemory& memory,
                                  std::span<char> into) const noexcept;
  std::optional<std::size_t> pseudo(Gva dentry, const VirtualMemory& memory,
                                    std::span<char> into) const noexcept;

  PathLayout at_;
  FileLayout file_;
};

}  // namespace ringside::guestos
